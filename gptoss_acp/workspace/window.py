"""Some lines of a file, read without the rest of it in memory.

Takes resolved paths. Knows bytes and line breaks. Knows nothing about how lines are shown.
"""

from __future__ import annotations

import codecs
import io
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from gptoss_acp.workspace import encodings, files, paths
from gptoss_acp.workspace.encodings import UTF_8, Encoding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONGEST_LINE = 2000
"""Bytes of a line that are kept."""

_NUMBER = 12
"""Bytes that a line's number, and what stands around it, take at most."""

_PIECE = 2**20


@dataclass(slots=True)
class Window:
    """Lines of a text, without their ends; `size` is the text's in bytes.

    `total` is how many lines it has, None where they were not counted.
    """

    size: int
    encoding: Encoding = UTF_8
    lines: list[str] = field(default_factory=list)
    total: int | None = None


def of_file(
    real: Path, first: int, most: int, room: int, encoding: Encoding | None = None, *, setting: str = ""
) -> Window:
    """Return at most `most` lines of a file from the line `first` on, that take `room` bytes at most, or one.

    They are in `encoding`, where one is given and fits; see `encodings.of` for the `setting`. Of a large file the lines
    are counted only where it is read to its end.

    Raises:
        OSError: it can't be read.
        ToolError: it is no regular file, or no text.
    """
    with (
        paths.hold_folder(real.parent) as folder,
        open(paths.open_file(real.name, folder), "rb") as file,  # noqa: PTH123 (a descriptor)
    ):
        size = os.fstat(file.fileno()).st_size
        whole = size <= files.LARGEST_FILE
        head = file.read(files.LARGEST_FILE if whole else encodings.SAMPLE)
        file.seek(0)
        if encoding is None or not encoding.fits(head, cut=not whole):
            encoding = encodings.of(head, real, setting=setting, cut=not whole)
        read = _recoded(file, encoding) if encoding.is_wide else file.read
        window = Window(size, encoding)
        lines = _read(window, read, first, most, room)
        if not encoding.is_wide and not all(encoding.fits(line, cut=left_out > 0) for line, left_out in lines):
            window.encoding = encodings.of(b"".join(line for line, _ in lines), real, setting=setting, cut=True)
        inner = UTF_8 if encoding.is_wide else window.encoding
        window.lines = [_as_text(line, left_out, inner) for line, left_out in lines]
        return window


def of_text(text: str, encoding: Encoding, first: int, most: int, room: int) -> Window:
    """Return the same lines of a text, which has been read from a file in that encoding."""
    content = text.encode(errors="surrogatepass")
    window = Window(len(content), encoding)
    window.lines = [_as_text(*line, UTF_8) for line in _read(window, io.BytesIO(content).read, first, most, room)]
    return window


def _read(window: Window, read: Callable[[int], bytes], first: int, most: int, room: int) -> list[tuple[bytes, int]]:
    """Return the lines, each with how many of its bytes are left out, and count them all where that is cheap."""
    source = _Source(read)
    lines: list[tuple[bytes, int]] = []
    passed = source.pass_lines(first - 1)
    if passed < first - 1:
        window.total = passed
        return lines
    while len(lines) < most and (found := source.next_line()):
        passed += 1
        room -= len(found[0]) + _NUMBER
        if room < 0 and lines:
            break
        lines.append(found)
    if window.size <= files.LARGEST_FILE or source.at_end():
        window.total = passed + source.pass_lines(window.size + 1)
    return lines


class _Source:
    """The lines of what is read piece by piece."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._piece = b""
        self._at = 0

    def at_end(self) -> bool:
        if self._at == len(self._piece):
            self._piece, self._at = self._read(_PIECE), 0
        return not self._piece

    def pass_lines(self, count: int) -> int:
        """Go on to the line behind so many lines, or to the end, and return how many were passed."""
        passed, last = 0, b"\n"
        while passed < count and not self.at_end():
            breaks = self._piece.count(b"\n", self._at)
            if passed + breaks >= count:
                for _ in range(count - passed):
                    self._at = self._piece.index(b"\n", self._at) + 1
                return count
            passed, last, self._at = passed + breaks, self._piece[-1:], len(self._piece)
        return passed if last == b"\n" else passed + 1

    def next_line(self) -> tuple[bytes, int] | None:
        """Return the beginning of a line, and how many bytes of it are left out; None at the end."""
        line, left_out = b"", 0
        while not line.endswith(b"\n") and not self.at_end():
            end = self._piece.find(b"\n", self._at) + 1 or len(self._piece)
            kept = min(end, self._at + LONGEST_LINE - len(line))
            line += self._piece[self._at : kept]
            left_out += len(self._piece[kept:end].rstrip(b"\r\n"))
            self._at = end
            if self._piece[end - 1 : end] == b"\n":
                break
        return (line, left_out) if line else None


def _recoded(file: BinaryIO, encoding: Encoding) -> Callable[[int], bytes]:
    """Return what reads a file in UTF-16 or UTF-32 as UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding.name)("replace")

    def read(size: int) -> bytes:
        while content := file.read(size):
            if text := decoder.decode(content):
                return text.encode(errors="replace")
        return decoder.decode(b"", final=True).encode(errors="replace")

    return read


def _as_text(line: bytes, left_out: int, encoding: Encoding) -> str:
    text = encoding.decode(line, cut=left_out > 0).removesuffix("\n").removesuffix("\r").removeprefix("\ufeff")
    return f"{text} … ({left_out:,} more bytes in this line)" if left_out else text
