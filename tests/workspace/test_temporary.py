"""Temporary folders: the user's alone, removed whatever is in them, by a later process where theirs was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from gptoss_acp.workspace import temporary
from gptoss_acp.workspace.temporary import PREFIX, YOUNG_SECONDS, TemporaryFolder

HOLDING = """
import sys
from gptoss_acp.workspace.temporary import TemporaryFolder
made = TemporaryFolder()
print(made.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def age(path: Path) -> None:
    old = time.time() - 2 * YOUNG_SECONDS
    os.utime(path, (old, old))


def test_it_is_the_users_alone_and_goes_with_all_that_is_in_it(folder: Path) -> None:
    made = TemporaryFolder()
    assert made.path.stat().st_mode & 0o777 == 0o700
    (folder / "kept").mkdir()
    (made.path / "a/b").mkdir(parents=True)
    (made.path / "a/link").symlink_to(folder / "kept")
    made.remove()
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_what_is_nested_deeper_than_can_be_followed_harms_nothing(folder: Path) -> None:
    made = TemporaryFolder()
    nesting = f"import os\nfor _ in range({sys.getrecursionlimit() * 2}): os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", nesting], cwd=made.path, check=True)
    made.remove()
    subprocess.run(["rm", "-rf", made.path], check=True)
    assert not list(folder.iterdir())


def test_those_of_processes_that_were_killed_are_removed_and_no_others(folder: Path) -> None:
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        held, left = (Path(holder.stdout.readline().strip()) for holder in holders if holder.stdout)
        holders[1].kill()
        holders[1].wait()
        (left / "file").write_text("x")
        others = folder / "gptoss-acp-other"
        others.mkdir()
        (folder / f"{PREFIX}file").write_text("none")
        (folder / f"{PREFIX}link").symlink_to(others)
        for path in (held, left, others):
            age(path)
        young = folder / f"{PREFIX}young"
        young.mkdir()
        temporary.remove_abandoned()
        assert sorted(folder.iterdir()) == sorted(
            [held, others, young, folder / f"{PREFIX}file", folder / f"{PREFIX}link"]
        )
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
