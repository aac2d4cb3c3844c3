"""Ways out of the session's roots, and files that would hang a reader: none works without permission."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.errors import ToolError
from gptoss_acp.settings import Mode
from gptoss_acp.workspace import paths
from gptoss_acp.workspace.edits import Change, commit
from gptoss_acp.workspace.files import read_text
from gptoss_acp.workspace.paths import Roots
from tests.support.desk import Desk
from tests.support.waiting import wait_until

SECRET = "secret"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with `root` to work in, and `outside`, with a secret, beside it."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "file").write_text(f"{SECRET}\n")
    (root / "sub").mkdir(parents=True)
    (root / "file-link").symlink_to(outside / "file")
    (root / "folder-link").symlink_to(outside)
    (root / "sub/up").symlink_to("../..")
    (root / "chain").symlink_to("file-link")
    return tmp_path


WAYS_OUT = [
    "../outside/file",
    "sub/../../outside/file",
    "{place}/outside/file",
    "{place}/root/../outside/file",
    "file://{place}/outside/file",
    "file://{place}/root/%2e%2e/outside/file",
    "file-link",
    "chain",
    "folder-link/file",
    "sub/up/outside/file",
    "folder-link/../outside/file",
    "//{place}/outside/file",
    "./././../outside//file",
]


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize("mode", ["read-only", "ask", "auto-edit"])
async def test_no_way_out_is_read_or_written_without_permission(way: str, mode: Mode, place: Path) -> None:
    path = way.format(place=place)
    desk = Desk(place / "root", mode, answer="reject_once")
    results = [
        await desk.call("read_file", path=path),
        await desk.call("list_dir", path=path),
        await desk.call("search", query=".", path=path),
    ]
    assert len(desk.permissions_asked) == len(results)
    results += [
        await desk.patch(f"*** Update File: {path}", "-guess", "+x"),
        await desk.patch(f"*** Delete File: {path}"),
        await desk.patch("*** Add File: new", "+x", f"*** Update File: {path}", "*** Move to: here"),
    ]
    if way not in {"file-link", "chain"}:  # beside those is inside
        results.append(await desk.patch(f"*** Add File: {path}.new", "+x"))
    assert len(desk.permissions_asked) == 3
    for result in results:
        assert result.startswith("Error: ")
        assert SECRET not in result
    assert (place / "outside/file").read_text() == f"{SECRET}\n"
    assert [path.name for path in (place / "outside").iterdir()] == ["file"]
    assert SECRET not in str(desk.peer.updates) + str(desk.permissions_asked)


async def test_a_file_moved_out_is_refused(place: Path) -> None:
    (place / "root/mine").write_text("x\n")
    desk = Desk(place / "root", "auto-edit")
    for target in ("../outside/mine", "folder-link/mine", str(place / "outside/mine")):
        result = await desk.patch("*** Update File: mine", f"*** Move to: {target}")
        assert "is outside the working directory and may not be changed" in result
    assert (place / "root/mine").exists()
    assert not (place / "outside/mine").exists()


async def test_what_the_user_allows_is_read(place: Path) -> None:
    desk = Desk(place / "root", "ask", answer="allow_once")
    assert await desk.call("read_file", path="../outside/file") == f"L1: {SECRET}"
    assert await desk.call("list_dir", path="folder-link") == "file"
    assert await desk.call("search", query="sec", path="../outside") == f"{place}/outside/file:1:{SECRET}"
    assert len(desk.permissions_asked) == 3


async def test_additional_directories_are_inside(place: Path) -> None:
    desk = Desk(place / "root", "auto-edit", additional=[place / "outside"])
    assert await desk.call("read_file", path="../outside/file") == f"L1: {SECRET}"
    assert "Success" in await desk.patch("*** Update File: folder-link/file", f"-{SECRET}", "+x")
    assert desk.permissions_asked == []


async def test_a_link_that_stays_inside_is_followed(place: Path) -> None:
    (place / "root/a").write_text("x\n")
    (place / "root/sub/link").symlink_to("../a")
    desk = Desk(place / "root", "auto-edit")
    assert await desk.call("read_file", path="sub/link") == "L1: x"
    assert "Success" in await desk.patch("*** Update File: sub/link", "-x", "+y")
    assert (place / "root/a").read_text() == "y\n"
    assert (place / "root/sub/link").is_symlink()


async def test_searching_a_folder_does_not_follow_links_out(place: Path) -> None:
    desk = Desk(place / "root", "ask")
    assert await desk.call("search", query=SECRET) == "No matches."
    assert SECRET not in await desk.call("list_dir", path=".", depth=8)


@pytest.mark.parametrize("swapped", ["sub", "sub/file"])
async def test_a_link_swapped_in_between_check_and_use_reads_nothing(
    swapped: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "root/sub/file").write_text("mine\n")
    resolve = paths.Roots.resolve

    def resolve_then_swap(self: paths.Roots, path: str) -> Path:
        real = resolve(self, path)
        victim = place / "root" / swapped
        if not victim.is_symlink():
            victim.rename(place / "moved")
            victim.symlink_to(place / "outside" / ("file" if victim.name == "file" else ""))
        return real

    monkeypatch.setattr(paths.Roots, "resolve", resolve_then_swap)
    for tool, arguments in (("read_file", {"path": "sub/file"}), ("search", {"path": "sub/file", "query": "."})):
        desk = Desk(place / "root", "auto-edit")
        result = await desk.call(tool, arguments)
        assert SECRET not in result
        assert result.startswith("Error: ") or desk.permissions_asked
        victim = place / "root" / swapped
        victim.unlink()
        (place / "moved").rename(victim)
    result = await Desk(place / "root", "auto-edit").patch("*** Update File: sub/file", "-mine", "+x", f"-{SECRET}")
    assert result.startswith("Error: ")
    assert (place / "outside/file").read_text() == f"{SECRET}\n"


def test_a_link_swapped_in_before_the_write_is_not_followed(place: Path) -> None:
    target = place / "root/sub/file"
    target.write_text("mine\n")
    (place / "root/sub").rename(place / "root/was")
    (place / "root/sub").symlink_to(place / "outside")
    with pytest.raises(ToolError):
        commit([Change(target, "mine\n", "x\n")])
    with pytest.raises(ToolError):
        commit([Change(target.with_name("new"), None, "x\n")])
    assert [path.name for path in (place / "outside").iterdir()] == ["file"]
    assert (place / "outside/file").read_text() == f"{SECRET}\n"


SWAPPER = """
import os
from pathlib import Path
while True:
    for source in ("real", "link"):
        os.link(source, "next", follow_symlinks=False)
        Path("next").replace("name")
        Path("next").unlink(missing_ok=True)
"""


def test_a_race_of_swaps_never_reads_the_secret(place: Path) -> None:
    (place / "root/real").write_text("mine\n")
    (place / "root/link").symlink_to(place / "outside/file")
    name = place / "root/name"
    read = []
    with subprocess.Popen([sys.executable, "-c", SWAPPER], cwd=place / "root") as swapper:
        try:
            wait_until(name.exists)
            stop = time.monotonic() + 1
            while time.monotonic() < stop:
                with contextlib.suppress(OSError, ToolError):
                    read.append(read_text(name)[0])
        finally:
            swapper.kill()
    assert set(read) == {"mine\n"}


async def test_special_files_are_refused_and_hang_nobody(place: Path) -> None:
    os.mkfifo(place / "root/fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "root/sock"))
        with (place / "root/sparse").open("wb") as file:
            file.truncate(5 * 2**30)
        desk = Desk(place / "root", "full-access")
        async with asyncio.timeout(10):
            for path in ("fifo", "sock", "/dev/zero", "/dev/stdin", "/dev/tty"):
                for result in (
                    await desk.call("read_file", path=path),
                    await desk.call("search", path=path, query="."),
                    await desk.patch(f"*** Update File: {path}", "-x", "+y"),
                    await desk.patch(f"*** Delete File: {path}"),
                ):
                    assert result.startswith("Error: "), (path, result)
            assert "a binary file" in await desk.call("read_file", path="sparse")
            assert "too large" in await desk.patch("*** Delete File: sparse")
            assert await desk.call("search", query="x") == "No matches."
            assert "fifo" in await desk.call("list_dir", path=".")
    assert (place / "root/fifo").is_fifo()


ODD_PATHS: dict[str, Any] = {
    "a name too long": "n" * 5000,
    "a path too long": "n/" * 5000,
    "a home": "~root/x",
    "a control character": "a\x1b[2Jb",
    "a link to itself": "loop",
    "a surrogate": "a\udcffb",
}


@pytest.mark.parametrize("name", ODD_PATHS)
async def test_odd_paths_are_errors(name: str, place: Path) -> None:
    (place / "root/loop").symlink_to("loop")
    desk = Desk(place / "root", "ask")
    path = ODD_PATHS[name]
    assert (await desk.call("read_file", path=path)).startswith("Error: ")
    assert (await desk.call("list_dir", path=path)).startswith("Error: ")
    assert (await desk.call("search", path=path, query=".")).startswith("Error: ")


async def test_the_home_of_the_user_is_outside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place / "outside"))
    desk = Desk(place / "root", "ask")
    assert "did not allow" in await desk.call("read_file", path="~/file")
    assert len(desk.permissions_asked) == 1


async def test_another_spelling_of_a_root_is_outside_even_where_case_does_not_matter(place: Path) -> None:
    desk = Desk(place / "root", "ask")
    assert not desk.workspace.roots.contain(place / "ROOT/file")
    assert not desk.workspace.roots.contain(place / "root2/file")
    await desk.call("read_file", path=str(place / "ROOT/file-link"))
    assert len(desk.permissions_asked) == 1


# What is not told


async def test_nobody_is_told_where_a_link_leads_without_a_question(place: Path) -> None:
    (place / "private").mkdir()
    (place / "private/latest").symlink_to("/home/alice/cv-for-rival-inc.pdf")
    (place / "root/link").symlink_to(place / "private/latest")
    for mode in ("read-only", "ask", "auto-edit"):
        desk = Desk(place / "root", mode, answer="reject_once")
        for path in (place / "private/latest", "/proc/self/exe", "/proc/self/cwd/x", "link", "folder-link/file"):
            for patch in ([f"*** Delete File: {path}"], [f"*** Update File: {path}", "@@", "-a", "+b"]):
                result = await desk.patch(*patch)
                assert str(path) in result or mode == "read-only"
                assert not any(told in result for told in ("rival", "python", "outside/file"))
        assert desk.permissions_asked == []


async def test_a_way_in_from_outside_is_a_way_outside(place: Path) -> None:
    (place / "way").symlink_to(place / "root")
    (place / "root/a").write_text("x\n")
    desk = Desk(place / "root", "auto-edit", answer="reject_once")
    assert await desk.call("read_file", path=f"{place}/way/a") == "Error: the user did not allow it."
    (asked,) = desk.permissions_asked
    assert asked["toolCall"]["content"][0]["content"]["text"] == f"`{place}/way/a` leads to `{place}/root/a`"
    assert "is outside the working directory" in await desk.patch(f"*** Update File: {place}/way/a", "-x", "+y")


async def test_a_working_directory_that_is_given_by_a_link_is_inside(place: Path) -> None:
    (place / "way").symlink_to(place / "root")
    (place / "root/a").write_text("x\n")
    desk = Desk(place / "way", "auto-edit", answer="reject_once")
    for path in ("a", f"{place}/way/a", f"{place}/root/a"):
        assert await desk.call("read_file", path=path) == "L1: x"
    assert desk.permissions_asked == []


@pytest.mark.parametrize("path", ["a/" * 2_100, "a" * 5_000, "é" * 2_100, "a/" * 200_000])
async def test_a_path_that_is_too_long_is_no_path(path: str, place: Path) -> None:
    desk = Desk(place / "root", "ask")
    assert "longer than 4,096 bytes" in await desk.call("list_dir", path=path)
    assert "longer than 4,096 bytes" in await desk.patch(f"*** Add File: {path}", "+x")
    assert desk.permissions_asked == []


def test_half_a_character_is_no_path(place: Path) -> None:
    with pytest.raises(ToolError, match="half of a character"):
        Roots(place).resolve("\ud83d")


ALIKE = {
    "a no-break space": ("Screen Shot 1.txt", "Screen\u202fShot\u00a01.txt"),
    "a decomposed accent": ("caf\u00e9.txt", "cafe\u0301.txt"),
    "a composed one": ("cafe\u0301.txt", "caf\u00e9.txt"),
    "a typographer's quote": ("it's.txt", "it\u2019s.txt"),
    "in a folder's name": ("a b/x.txt", "a\u00a0b/x.txt"),
}


@pytest.mark.parametrize("name", ALIKE)
async def test_a_name_that_looks_as_it_was_typed_is_meant_if_it_is_the_only_one(name: str, place: Path) -> None:
    typed, named = ALIKE[name]
    file = place / "root" / named
    file.parent.mkdir(exist_ok=True)
    file.write_text("found\n")
    desk = Desk(place / "root", "auto-edit")
    assert await desk.call("read_file", path=typed) == "L1: found"
    assert "Success" in await desk.patch(f"*** Update File: {typed}", "-found", "+changed")
    assert file.read_text() == "changed\n"
    assert desk.permissions_asked == []
    if "/" not in typed:
        another = file.with_name(named.translate({0x202F: 0x2007, 0x301: 0x341, 0xE9: "e\u0341", 0x2019: 0x2018}))
        another.write_text("another\n")
        assert "no such file" in await desk.call("read_file", path=typed)


async def test_what_looks_alike_outside_is_not_looked_for(place: Path) -> None:
    (place / "outside/a\u00a0b").write_text(SECRET)
    (place / "root/a\u00a0link").symlink_to(place / "outside")
    desk = Desk(place / "root", "auto-edit")
    for path in ("../outside/a b", "a link/a b", "a link", "folder-link/a b"):
        assert SECRET not in await desk.call("read_file", path=path)
