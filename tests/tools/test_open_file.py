"""The tool that reads files, as the model sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptoss_acp.text import LONGEST_RESULT
from gptoss_acp.workspace.window import LONGEST_LINE
from tests.support.desk import Desk
from tests.support.project import write


async def test_the_lines_of_a_file_are_numbered_unless_that_is_not_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbffirst\r\n\r\nthird")
    desk = Desk(tmp_path)
    assert await desk.call("open_file", path="a.txt") == "L1: first\nL2: \nL3: third"
    assert await desk.call("open_file", path="a.txt", line_numbers=False) == "first\n\nthird"


async def test_a_window_says_where_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{number}\n" for number in range(1, 11)))
    desk = Desk(tmp_path)
    assert await desk.call("open_file", path="a.txt", line_start=3, line_end=4) == (
        "L3: 3\nL4: 4\n(10 lines in all; go on with line_start 5)"
    )
    assert await desk.call("open_file", path="a.txt", line_start=9, line_end=12) == "L9: 9\nL10: 10"
    assert await desk.call("open_file", path="a.txt", line_start=11) == "Error: a.txt has only 10 lines."
    assert await desk.call("open_file", path=str(tmp_path / "a.txt"), line_start=10) == "L10: 10"
    assert await desk.call("open_file", path=f"file://{tmp_path}/a.txt", line_start=10, line_end=None) == "L10: 10"


async def test_a_window_of_lines_that_can_not_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x\n")
    result = await Desk(tmp_path).call("open_file", path="a.txt", line_start=5, line_end=3)
    assert result == "Error: line_end 3 is before line_start 5."
    assert await Desk(tmp_path).call("open_file", path="a.txt", line_start=0, line_end=-1) == "L1: x"


async def test_a_file_of_any_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("".join(f"{number:0100}\n" for number in range(120_000)))
    desk = Desk(tmp_path)
    result = await desk.call("open_file", path="a.log", line_start=100_001, line_end=100_002)
    assert (
        result
        == f"L100001: {100_000:0100}\nL100002: {100_001:0100}\n({101 * 120_000:,} bytes in all; go on with line_start 100003)"
    )
    assert await desk.call("open_file", path="a.log", line_start=120_000) == f"L120000: {119_999:0100}"
    assert await desk.call("open_file", path="a.log", line_start=120_001) == "Error: a.log has only 120,000 lines."


async def test_a_long_file_is_cut_at_a_line_and_the_model_can_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{number:0100}\n" for number in range(5000)))
    result = await Desk(tmp_path).call("open_file", path="a.txt")
    assert len(result) <= LONGEST_RESULT
    *lines, note = result.splitlines()
    assert lines[-1].startswith(f"L{len(lines)}: ")
    assert note == f"(5000 lines in all; go on with line_start {len(lines) + 1})"


async def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 2**20)
    result = await Desk(tmp_path).call("open_file", path="a.txt")
    assert result == f"L1: {'x' * LONGEST_LINE} … ({2**20 - LONGEST_LINE:,} more bytes in this line)"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\0\1\2", "it is a binary file"),
        (b"\x81\xff\1\n", "it is a binary file, or text in an encoding that can't be told"),
        (b"\xff\xfeh\0i", "it is not text in utf-16-le: byte 0x69 at position 4"),
    ],
)
async def test_what_is_no_text_is_refused_with_the_reason(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a").write_bytes(content)
    desk = Desk(tmp_path)
    assert await desk.call("open_file", path="a") == f"Error: a: {problem}."
    assert problem in await desk.patch("*** Update File: a", "-x", "+y")
    assert (tmp_path / "a").read_bytes() == content


async def test_what_can_not_be_read_is_a_result_not_an_exception(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    desk = Desk(tmp_path)
    assert await desk.call("open_file", path="empty") == "(empty file)"
    assert await desk.call("open_file", path="nowhere.txt") == "Error: no such file or directory: nowhere.txt."
    assert await desk.call("open_file", path="folder") == (
        "Error: folder is a folder; print its tree with repo_browser.print_tree."
    )
    assert await desk.call("open_file", path="empty/x") == "Error: not a directory: empty/x."
    assert await desk.call("open_file", path="") == (
        "Error: . is a folder; print its tree with repo_browser.print_tree."
    )


async def test_instructions_below_the_working_directory_are_named_once_where_they_hold(tmp_path: Path) -> None:
    for name in ("AGENTS.md", "a/AGENTS.md", "a/b/AGENTS.md", "a/b/c.txt", "d/AGENTS.md", "d/e.txt"):
        write(tmp_path / name, "x\n")
    desk = Desk(tmp_path, "full-access")
    assert await desk.call("read_file", path="a/b/c.txt") == (
        "L1: x\n"
        "(for what is in this folder a/b/AGENTS.md holds too; read it)\n"
        "(for what is in this folder a/AGENTS.md holds too; read it)"
    )
    assert await desk.call("read_file", path="a/b/c.txt", line_start=1) == "L1: x"
    assert await desk.call("read_file", path="d/AGENTS.md") == "L1: x"
    assert "holds too" not in await desk.patch("*** Update File: d/e.txt", "-x", "+y")
    desk = Desk(tmp_path, "full-access")
    assert "d/AGENTS.md holds too" in await desk.patch("*** Update File: d/e.txt", "-y", "+z")
