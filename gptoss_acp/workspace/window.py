"""Some lines of a file, read without the rest of it in memory.

Takes resolved paths. Knows bytes and line breaks. Knows nothing about how lines are shown.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from gptoss_acp.workspace import files, paths

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_LINE = 2000
"""Bytes of a line that are kept."""

_NUMBER = 12
"""Bytes that a line's number, and what stands around it, take at most."""

_HEAD = 2**13
_PIECE = 2**20


@dataclass(slots=True)
class Window:
    """Lines of a text, without their ends; `size` is the text's in bytes.

    `total` is how many lines it has, None where they were not counted.
    """

    size: int
    lines: list[str] = field(default_factory=list)
    total: int | None = None


def of_file(real: Path, first: int, most: int, room: int) -> Window:
    """Return at most `most` lines of a file from the line `first` on, that take `room` bytes at most, or one.

    Of a large file the lines are counted only where it is read to its end.

    Raises:
        OSError: it can't be read.
        ToolError: it is no regular file, or not UTF-8 text.
    """
    with (
        paths.hold_folder(real.parent) as folder,
        open(paths.open_file(real.name, folder), "rb") as file,  # noqa: PTH123 (a descriptor)
    ):
        return _read(file, os.fstat(file.fileno()).st_size, first, most, room)


def of_text(text: str, first: int, most: int, room: int) -> Window:
    """Return the same lines of a text."""
    content = text.encode(errors="surrogatepass")
    return _read(io.BytesIO(content), len(content), first, most, room)


def _read(file: BinaryIO, size: int, first: int, most: int, room: int) -> Window:
    window = Window(size)
    files.refuse_binary(file.read(_HEAD))
    file.seek(0)
    passed = _pass_lines(file, first - 1)
    if passed < first - 1:
        window.total = passed
        return window
    while len(window.lines) < most:
        start = file.tell()
        line, left_out = _next_line(file)
        room -= len(line) + _NUMBER
        if not line or (room < 0 and window.lines):
            file.seek(start)
            break
        window.lines.append(_as_text(line, left_out, start))
    if size <= files.LARGEST_FILE or file.tell() >= size:
        window.total = passed + len(window.lines) + _pass_lines(file, size + 1)
    return window


def _pass_lines(file: BinaryIO, count: int) -> int:
    """Go on to the line behind so many lines, or to the end, and return how many were passed."""
    passed, piece = 0, b"\n"
    while passed < count and (following := file.read(_PIECE)):
        piece = following
        breaks = piece.count(b"\n")
        if passed + breaks >= count:
            file.seek(_end_of_line(piece, count - passed) - len(piece), os.SEEK_CUR)
            return count
        passed += breaks
    return passed if piece.endswith(b"\n") else passed + 1


def _end_of_line(piece: bytes, number: int) -> int:
    end = 0
    for _ in range(number):
        end = piece.index(b"\n", end) + 1
    return end


def _next_line(file: BinaryIO) -> tuple[bytes, int]:
    """Read a line; return its beginning, and how many bytes of it were left out."""
    line = piece = file.readline(LONGEST_LINE)
    left_out = 0
    while piece and not piece.endswith(b"\n"):
        piece = file.readline(_PIECE)
        left_out += len(piece.rstrip(b"\r\n"))
    return line, left_out


def _as_text(line: bytes, left_out: int, start: int) -> str:
    text = files.decode(line, start=start, cut=left_out > 0)
    text = text.removesuffix("\n").removesuffix("\r")
    if start == 0:
        text = text.removeprefix("\ufeff")
    return f"{text} … ({left_out:,} more bytes in this line)" if left_out else text
