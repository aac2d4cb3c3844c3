"""The tool that changes files: all of a patch or nothing, on real files."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.support.desk import Desk


async def test_a_patch_changes_several_files_at_once_and_shows_each(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "old.sh").write_text("echo\n")
    (tmp_path / "old.sh").chmod(0o755)
    (tmp_path / "gone.txt").write_text("bye\n")
    desk = Desk(tmp_path)
    result = await desk.patch(
        "*** Add File: deep/new.txt",
        "+hello",
        "*** Update File: a.txt",
        "-two",
        "+2",
        "*** Update File: old.sh",
        "*** Move to: bin/new.sh",
        "-echo",
        "+echo hi",
        "*** Delete File: gone.txt",
    )
    assert result == "Success. Updated the following files:\nA deep/new.txt\nM a.txt\nM bin/new.sh\nD gone.txt"
    assert (tmp_path / "deep/new.txt").read_text() == "hello\n"
    assert (tmp_path / "a.txt").read_text() == "one\n2\n"
    assert (tmp_path / "bin/new.sh").read_text() == "echo hi\n"
    assert stat.S_IMODE((tmp_path / "bin/new.sh").stat().st_mode) == 0o755
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "bin", "deep"]
    shown = {update["path"]: update for call in desk.peer.updates for update in call.get("content", [])}
    assert shown[str(tmp_path / "a.txt")] == {
        "type": "diff",
        "path": str(tmp_path / "a.txt"),
        "oldText": "one\ntwo\n",
        "newText": "one\n2\n",
    }
    assert shown[str(tmp_path / "deep/new.txt")]["oldText"] is None
    assert shown[str(tmp_path / "gone.txt")]["newText"] == ""


async def test_names_with_git_s_sides_mean_the_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("f", "b/g", "h", "i"):
        (tmp_path / name).write_text("a\n")
    result = await Desk(tmp_path).patch(
        *("*** Update File: a/f", "-a", "+x"),
        *("*** Update File: b/g", "-a", "+y"),
        *("*** Update File: a/h", "*** Move to: b/j", "-a", "+z"),
        *("*** Delete File: ./a/i", "*** Add File: a/new", "+n"),
        *("*** Update File: a/new", "-n", "+m"),
    )
    assert result == "Success. Updated the following files:\nM f\nM b/g\nM j\nD i\nA a/new\nM a/new"
    found = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"f": "x\n", "b/g": "y\n", "j": "z\n", "a/new": "m\n"}


async def test_a_symlink_behind_git_s_side_is_not_followed_to_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a\n")
    (tmp_path / "link").symlink_to("f")
    assert "link is a symlink;" in await Desk(tmp_path).patch("*** Delete File: a/link")
    assert (tmp_path / "f").exists()


async def test_absolute_names_in_the_folder_are_its_files(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a\n")
    result = await Desk(tmp_path).patch(f"*** Update File: {tmp_path}/f", "-a", "+b")
    assert result.startswith("Success.")
    assert (tmp_path / "f").read_text() == "b\n"


ALL_OR_NOTHING = {
    "a missing file with git's side": (["*** Update File: a/nope", "-x", "+y"], "no such file: a/nope, nor nope"),
    "a hunk that does not fit": (["*** Update File: a.txt", "-nope", "+x"], "a.txt: hunk 1"),
    "a file that is missing": (["*** Update File: nope", "-x", "+y"], "no such file: nope"),
    "a file that is already there": (["*** Add File: a.txt", "+x"], "a.txt already exists"),
    "a target that is already there": (["*** Update File: a.txt", "*** Move to: c.txt"], "c.txt already exists"),
    "a folder": (["*** Delete File: folder"], "is a folder: folder"),
    "a missing file to delete": (["*** Delete File: nope"], "no such file: nope"),
    "a path below a file": (["*** Add File: a.txt/x", "+x"], "ot a directory"),
    "a name too long": ([f"*** Add File: {'n' * 300}", "+x"], "ile name too long"),
    "a binary file": (["*** Update File: binary", "-x", "+y"], "it is a binary file"),
    "a patch that is none": (["*** Rename File: a.txt"], "a file's header is expected"),
}


@pytest.mark.parametrize("name", ALL_OR_NOTHING)
async def test_nothing_is_written_because_of(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt").write_text("two\n")
    (tmp_path / "c.txt").write_text("three\n")
    (tmp_path / "binary").write_bytes(b"\0")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    lines, problem = ALL_OR_NOTHING[name]
    result = await Desk(tmp_path).patch("*** Add File: deep/er/new.txt", "+x", "*** Delete File: b.txt", *lines)
    assert result.startswith("Error: ")
    assert problem in result
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "deep").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_can_not_be_written_fails_the_whole_patch(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    result = await Desk(tmp_path).patch("*** Add File: a", "+x", "*** Add File: locked/b", "+x")
    assert result == "Error: permission denied: b."
    assert not (tmp_path / "a").exists()


async def test_operations_on_one_file_build_on_each_other_however_it_is_spelt(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "link").symlink_to("a")
    result = await Desk(tmp_path).patch(
        *("*** Update File: a", "-1", "+one"),
        *("*** Update File: ./x/../link", "-2", "+two"),
        *("*** Add File: b", "+b"),
        *("*** Delete File: b",),
    )
    assert result.startswith("Success.")
    assert (tmp_path / "a").read_text() == "one\ntwo\n"
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "b").exists()


async def test_a_patch_of_a_file_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n")
    desk = Desk(tmp_path, "ask", answer="allow_once")
    allowed = desk.peer.answers["session/request_permission"]

    def change(params: Any) -> Any:
        (tmp_path / "a").write_text("mine\n")
        return allowed(params)

    desk.peer.answers["session/request_permission"] = change
    assert "it has changed since it was read" in await desk.patch("*** Update File: a", "-1", "+2")
    assert (tmp_path / "a").read_text() == "mine\n"


@pytest.mark.parametrize(
    "wrap", [str, json.dumps, lambda text: json.dumps({"input": text}), lambda text: json.dumps({"patch": text})]
)
async def test_a_patch_may_come_as_text_or_as_one_json_value(tmp_path: Path, wrap: Any) -> None:
    patch = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch"
    assert await Desk(tmp_path).call("apply_patch", wrap(patch)) == "Success. Updated the following files:\nA a"


@pytest.mark.parametrize("lines", [["*** Delete File: link"], ["*** Update File: link", "*** Move to: moved"]])
async def test_a_symlink_is_not_deleted_or_moved_in_place_of_its_target(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x\n")
    (tmp_path / "link").symlink_to("real")
    assert "link is a symlink;" in await Desk(tmp_path).patch(*lines)
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}


async def test_a_name_that_is_too_long_is_a_result_too(tmp_path: Path) -> None:
    assert "file name too long" in await Desk(tmp_path).patch("*** Delete File: " + "x" * 300)
