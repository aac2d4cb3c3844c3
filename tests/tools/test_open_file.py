"""The tool that reads files, as the model sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptoss_acp.text import LONGEST_RESULT
from tests.support.desk import Desk


async def test_reading_a_file_numbers_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbffirst\r\n\r\nthird")
    assert await Desk(tmp_path).call("read_file", path="a.txt") == "L1: first\nL2: \nL3: third"


async def test_reading_from_an_offset_says_where_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{number}\n" for number in range(1, 11)))
    desk = Desk(tmp_path)
    assert await desk.call("read_file", path="a.txt", offset=3, limit=2) == (
        "L3: 3\nL4: 4\n(10 lines in all; go on with offset 5)"
    )
    assert await desk.call("read_file", path="a.txt", offset=9, limit=2) == "L9: 9\nL10: 10"
    assert await desk.call("read_file", path="a.txt", offset=11) == "Error: a.txt has only 10 lines."
    assert await desk.call("read_file", path=str(tmp_path / "a.txt"), offset=10) == "L10: 10"
    assert await desk.call("read_file", path=f"file://{tmp_path}/a.txt", offset=10, limit=None) == "L10: 10"


async def test_a_long_file_is_cut_at_a_line_and_the_model_can_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{number:0100}\n" for number in range(5000)))
    result = await Desk(tmp_path).call("read_file", path="a.txt")
    assert len(result) <= LONGEST_RESULT
    *lines, note = result.splitlines()
    assert lines[-1].startswith(f"L{len(lines)}: ")
    assert note == f"(5000 lines in all; go on with offset {len(lines) + 1})"


async def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 2**20)
    result = await Desk(tmp_path).call("read_file", path="a.txt")
    assert len(result) < 3000
    assert "characters left out" in result


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\0\1\2", "it is a binary file"),
        (b"caf\xe9\n", "it is not UTF-8 text: byte 0xe9 at position 3"),
        ("hi".encode("utf-16"), "it is a binary file"),
    ],
)
async def test_what_is_no_text_is_refused_with_the_reason(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a").write_bytes(content)
    desk = Desk(tmp_path)
    assert await desk.call("read_file", path="a") == f"Error: a: {problem}."
    assert problem in await desk.patch("*** Update File: a", "-x", "+y")
    assert (tmp_path / "a").read_bytes() == content


async def test_what_can_not_be_read_is_a_result_not_an_exception(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    desk = Desk(tmp_path)
    assert await desk.call("read_file", path="empty") == "(empty file)"
    assert await desk.call("read_file", path="nowhere.txt") == "Error: no such file: nowhere.txt."
    assert await desk.call("read_file", path="folder") == "Error: is a folder: folder."
    assert await desk.call("read_file", path="empty/x") == "Error: not a directory: empty/x."
    assert await desk.call("read_file", path="") == "Error: is a folder: ."
