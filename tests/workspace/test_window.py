"""Some lines of a file: the same as of its whole text, however it is cut into pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import files, window
from gptoss_acp.workspace.encodings import UTF_8


@given(st.text("ab\u00e9\u2028\f\n", max_size=30), st.integers(1, 9), st.integers(1, 9))
def test_a_window_has_the_lines_that_the_text_has(text: str, first: int, most: int) -> None:
    lines = text.removesuffix("\n").split("\n") if text else []
    found = window.of_text(text, UTF_8, first, most, 1000)
    assert found.lines == lines[first - 1 : first - 1 + most]
    assert found.total == len(lines)
    assert found.size == len(text.encode())


def test_lines_are_found_across_the_pieces_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "_PIECE", 7)
    (tmp_path / "a").write_text("".join(f"{number}\n" for number in range(100)))
    for first in range(1, 101):
        assert window.of_file(tmp_path / "a", first, 1, 100).lines == [str(first - 1)]


def test_the_room_ends_a_window_at_a_line(tmp_path: Path) -> None:
    found = window.of_text("x" * 50 + "\n" + "y" * 50 + "\nz\n", UTF_8, 1, 9, 130)
    assert [line[0] for line in found.lines] == ["x", "y"]
    assert found.total == 3
    assert len(window.of_text("x" * 50, UTF_8, 1, 9, 1).lines) == 1


def test_the_lines_of_a_large_file_are_counted_only_where_it_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", 5)
    (tmp_path / "a").write_text("1\n2\n3\n4\n")
    assert window.of_file(tmp_path / "a", 1, 2, 100).total is None
    assert window.of_file(tmp_path / "a", 3, 2, 100).total == 4
    assert window.of_file(tmp_path / "a", 9, 2, 100).total == 4


def test_a_long_line_is_cut_between_characters_and_the_next_is_whole() -> None:
    found = window.of_text("a" + "\u00e9" * 2000 + "\r\nnext", UTF_8, 1, 9, 10_000)
    assert found.lines == ["a" + "\u00e9" * 999 + " … (2,001 more bytes in this line)", "next"]


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030", "cp932"])
@pytest.mark.parametrize("largest", [100, 10**6])
def test_a_window_of_a_file_in_another_encoding_has_its_lines(
    name: str, largest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", largest)
    monkeypatch.setattr(window, "_PIECE", 13)
    lines = [f"{number}: 東京タワー日本語のテキスト" for number in range(1000)]
    (tmp_path / "a").write_bytes("\r\n".join(lines).encode(name))
    for first in (1, 2, 500, 1000):
        found = window.of_file(tmp_path / "a", first, 2, 1000, setting=name)
        assert found.lines == lines[first - 1 : first + 1]
        assert found.total == (1000 if largest > 100 or first >= 999 else None)
    assert not window.of_file(tmp_path / "a", 1001, 2, 1000, setting=name).lines


def test_what_a_large_file_has_far_from_its_beginning_is_guessed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", 100)
    (tmp_path / "a").write_bytes(b"plain\n" * 20_000 + "Müller grüßt aus Köln\n".encode("cp1252"))
    found = window.of_file(tmp_path / "a", 20_000, 2, 1000)
    assert (found.lines, str(found.encoding)) == (["plain", "Müller grüßt aus Köln"], "cp1252 (a guess)")
    (tmp_path / "b").write_bytes(b"plain\n" * 20_000 + b"\x81\x01\x02\n")
    with pytest.raises(ToolError, match="can't be told"):
        window.of_file(tmp_path / "b", 20_000, 2, 1000)
