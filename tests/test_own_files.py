"""What the agent keeps is nobody else's, also where it was found open to all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gptoss_acp import own_files
from gptoss_acp.engine.snapshot_files import DiskTier
from gptoss_acp.store.database import Database
from gptoss_acp.trace import Trace


@pytest.fixture(autouse=True)
def no_mask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_made_for_this_user_alone_and_tightened(tmp_path: Path) -> None:
    own_files.make_folder(tmp_path / "a/b/c")
    assert [mode(tmp_path / path) for path in ("a", "a/b", "a/b/c")] == [0o700] * 3
    (tmp_path / "a/b/c").chmod(0o777)
    own_files.make_folder(tmp_path / "a/b/c")
    assert mode(tmp_path / "a/b/c") == 0o700


def test_files_are_made_for_this_user_alone_tightened_and_never_links(tmp_path: Path) -> None:
    os.close(own_files.open_file(tmp_path / "a", os.O_WRONLY))
    assert mode(tmp_path / "a") == 0o600
    (tmp_path / "a").chmod(0o666)
    os.close(own_files.open_file(tmp_path / "a", os.O_WRONLY))
    assert mode(tmp_path / "a") == 0o600
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(OSError, match="symbolic link"):
        own_files.open_file(tmp_path / "link", os.O_WRONLY)


def test_the_trace_the_database_and_the_contexts_are_kept_so(tmp_path: Path) -> None:
    (tmp_path / "trace").touch()
    trace = Trace(tmp_path / "trace", str)
    trace.line("->", b"x")
    trace._file.close()
    sessions = tmp_path / "data/sessions"
    for _ in range(2):
        database = Database(sessions)
        with database.transaction():
            assert mode(sessions / "sessions.db") == 0o600
        database.close()
        (sessions / "sessions.db").chmod(0o666)
    prefixes = tmp_path / "cache/prefixes"
    (prefixes / "model").mkdir(parents=True)
    DiskTier(prefixes, "model", 10**9).close()
    assert mode(tmp_path / "trace") == 0o600
    for folder in (tmp_path / "data", sessions, prefixes, prefixes / "model"):
        assert mode(folder) == 0o700, folder


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "trace").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic link"):
        Trace(tmp_path / "trace", str)
    assert (tmp_path / "victim").read_text() == "precious"
