"""A folder that another process swaps for a link all the time: nothing of what it leads to is read, run in or written."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.settings import Confinement
from gptoss_acp.workspace import ripgrep
from gptoss_acp.workspace.sandbox import Sandbox
from tests.support.desk import Desk
from tests.support.waiting import wait_until

SWAPPER = """
import os
while True:
    os.rename("sub", "was")
    os.symlink("../secret", "sub")
    os.rename("sub", "link")
    os.rename("was", "sub")
    os.unlink("link")
"""
SECONDS = 1.0


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder outside of `/tmp`, which is another one in the sandbox."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with `root`, whose `sub` is swapped for a link to `secret` beside it."""
    (tmp_path / "root/sub").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    for number in range(30):
        (tmp_path / f"root/sub/f{number}").write_text("nothing\n")
        (tmp_path / f"secret/f{number}").write_text("TOPSECRET\n")
    with subprocess.Popen([sys.executable, "-c", SWAPPER], cwd=tmp_path / "root") as swapper:
        try:
            wait_until((tmp_path / "root/sub").is_symlink)
            yield tmp_path
        finally:
            swapper.kill()
            swapper.wait()


async def test_a_search_tells_nothing_of_what_is_behind_the_link(place: Path) -> None:
    desk = Desk(place / "root", "read-only")
    stop = time.monotonic() + SECONDS
    while time.monotonic() < stop:
        desk.runner = Desk(place / "root", "read-only").runner
        result = await desk.call("search", path="", query="TOPSECRET|nothing")
        assert "TOPSECRET" not in result


@pytest.mark.parametrize("confinement", ["off", "auto"])
async def test_a_command_runs_in_the_folder_of_the_question_or_not_at_all(
    confinement: Confinement, place: Path
) -> None:
    stop, ran = time.monotonic() + SECONDS, 0
    while time.monotonic() < stop or not ran:
        desk = Desk(place / "root", "ask", answer="allow_once")
        desk.workspace.sandbox = Sandbox(confinement, desk.workspace.roots.folders)
        result = await desk.call("shell", command=["pwd", "-P"], workdir="sub")
        ran += "Exit code: 0" in result
        (asked,) = desk.permissions_asked or [""]
        assert "/secret" not in result or "secret" in str(asked), result


async def test_a_write_of_the_editors_that_lands_elsewhere_is_no_success(place: Path) -> None:
    def write(params: Any) -> None:
        try:
            Path(params["path"]).write_text(params["content"])
        except OSError:
            return

    stop, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < stop:
        number += 1
        desk = Desk(place / "root", "auto-edit", capabilities=Capabilities(write=True))
        desk.peer.answers["fs/write_text_file"] = write
        result = await desk.patch(f"*** Add File: sub/new{number}", "+x")
        landed = (place / "secret" / f"new{number}").exists()
        assert not landed or not result.startswith("Success") or "is not on the disk" in result


LINES = {
    "plain": (b"one\ntwo\n", 4, b"two", True),
    "another line": (b"one\ntwo\n", 4, b"one", False),
    "the start of a long one": (b"x" * 1000, 0, b"x" * 300 + b" [... omitted end of long line]", True),
    "in UTF-16": ("one\ntwo\n".encode("utf-16"), 4, b"two", True),
    "not in UTF-16": ("one\ntwo\n".encode("utf-16"), 4, b"three", False),
    "shorter by now": (b"", 4, b"two", False),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_is_looked_for_where_it_was_found(name: str, tmp_path: Path) -> None:
    content, offset, line, there = LINES[name]
    (tmp_path / "file").write_bytes(content)
    assert ripgrep.holds(tmp_path / "file", offset, line) == there
    (tmp_path / "link").symlink_to("file")
    assert not ripgrep.holds(tmp_path / "link", offset, line)


async def test_lines_of_every_kind_are_found_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "utf16").write_bytes("über alles\r\n".encode("utf-16"))
    (tmp_path / "dos").write_bytes(b"eins\r\nalles\r\n")
    (tmp_path / "bom").write_bytes("\ufeffalles\n".encode())
    (tmp_path / "latin").write_bytes(b"\xfcber alles\n")
    (tmp_path / "long").write_bytes("é".encode() * 400 + b" alles\n" + b"alles " * 200 + b"\n")
    result = await Desk(tmp_path).call("search", path="", query="alles")
    assert [line.rpartition(":")[0] for line in result.splitlines()] == [
        *("bom:1", "dos:2", "latin:1", "long:1", "long:2", "utf16:1")
    ], result
