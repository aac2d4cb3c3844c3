"""Text files on the disk: read within bounds, and changed all at once or not at all."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import edits, files
from gptoss_acp.workspace.edits import Change
from tests.support.desk import Desk


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# Reading


def test_text_is_read_with_its_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfna\xc3\xafve\r\nb\n")
    assert files.read_text(tmp_path / "a")[0] == "\ufeffnaïve\r\nb\n"


def test_the_largest_file_is_read_and_a_larger_one_refused(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(files.LARGEST_FILE)
        assert len(files.read_bytes(tmp_path / "a")) == files.LARGEST_FILE
        file.truncate(files.LARGEST_FILE + 1)
    with pytest.raises(ToolError, match="too large: 10 MiB, the most is 10 MiB"):
        files.read_bytes(tmp_path / "a")


def test_a_file_that_is_not_there_has_neither_mode_nor_time(tmp_path: Path) -> None:
    assert (files.mode_of(tmp_path / "a"), files.changed_at(tmp_path / "a")) == (None, None)
    (tmp_path / "a").touch(mode=0o640)
    assert files.mode_of(tmp_path / "a") == mode(tmp_path / "a")
    assert files.changed_at(tmp_path / "a") == (tmp_path / "a").stat().st_ctime_ns


# Changing


def test_every_change_is_made_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "gone").write_text("x")
    edits.commit(
        [
            Change(tmp_path / "a", "1", "2"),
            Change(tmp_path / "deep/er/new", None, "new"),
            Change(tmp_path / "gone", "x", None),
        ]
    )
    assert contents(tmp_path) == {"a": "2", "deep/er/new": "new"}


def test_a_file_keeps_its_mode_when_it_changes_moves_or_comes_back(tmp_path: Path) -> None:
    script = tmp_path / "run"
    script.write_text("1")
    script.chmod(0o750)
    edits.commit([Change(script, "1", "2")])
    assert mode(script) == 0o750
    edits.commit([Change(tmp_path / "moved", None, "2", moved_from=script), Change(script, "2", None)])
    assert mode(tmp_path / "moved") == 0o750
    edits.commit([Change(script, "2", None, mode=0o710).reversed()])
    assert mode(script) == 0o710


@pytest.mark.parametrize(
    ("before", "problem"),
    [("mine", "b: it has changed since it was read"), (None, "b: it already exists")],
)
def test_where_one_file_is_not_what_it_was_nothing_changes(before: str | None, problem: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("theirs")
    with pytest.raises(ToolError, match=problem):
        edits.commit(
            [
                Change(tmp_path / "a", "1", "2"),
                Change(tmp_path / "deep/new", None, "x"),
                Change(tmp_path / "b", before, "2"),
            ]
        )
    assert contents(tmp_path) == {"a": "1", "b": "theirs"}
    assert not (tmp_path / "deep").exists()


def test_a_commit_that_fails_half_way_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    replace = os.replace
    done = []

    def fail_later(*arguments: Any, **options: Any) -> None:
        done.append(arguments)
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        replace(*arguments, **options)

    monkeypatch.setattr(os, "replace", fail_later)
    with pytest.raises(ToolError, match="no space left on device: b"):
        edits.commit([Change(tmp_path / name, "1", "2") for name in ("a", "b")])
    assert contents(tmp_path) == {"a": "1", "b": "1"}


async def test_a_file_keeps_its_other_names_its_group_and_its_attributes(tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_text("old\n")
    file.chmod(0o640)
    other.hardlink_to(file)
    if sys.platform == "linux":
        os.setxattr(file, "user.note", b"kept")
    identity = file.stat().st_ino
    desk = Desk(tmp_path)
    assert "Success" in await desk.patch("*** Update File: file", "-old", "+new and longer")
    assert other.read_text() == "new and longer\n"
    assert (file.stat().st_ino, stat.S_IMODE(file.stat().st_mode)) == (identity, 0o640)
    assert "Success" in await desk.patch("*** Update File: file", "-new and longer", "+x")
    assert other.read_text() == "x\n"
    if sys.platform == "linux":
        assert os.getxattr(file, "user.note") == b"kept"
        other.unlink()
        assert "Success" in await desk.patch("*** Update File: file", "-x", "+y")
        assert os.getxattr(file, "user.note") == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir() if path != other) == ["file"]


def test_what_was_written_in_place_is_taken_back_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("a\n")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "folder").mkdir()
    changes = [
        Change(tmp_path / "a", "a\n", "changed\n"),
        Change(tmp_path / "c", None, "new\n"),
    ]
    replace = os.replace

    def fail(*arguments: Any, **named: Any) -> None:
        if arguments[1] == "c":
            raise OSError(28, "No space left on device")
        replace(*arguments, **named)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ToolError, match="no space left"):
        edits.commit(changes)
    assert (tmp_path / "b").read_text() == "a\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "folder"]


async def test_a_read_only_file_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "fixed").write_text("x\n")
    (tmp_path / "fixed").chmod(0o444)
    desk = Desk(tmp_path, "auto-edit")
    assert "the user did not allow it" in await desk.patch("*** Update File: fixed", "-x", "+y")
    assert "the read-only file fixed" in str(desk.permissions_asked[0]["options"])
    desk.answer = "allow_once"
    assert "Success" in await desk.patch("*** Update File: fixed", "-x", "+y")
    assert stat.S_IMODE((tmp_path / "fixed").stat().st_mode) == 0o444
