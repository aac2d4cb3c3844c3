"""How a file's text stands in its bytes: known by rule, from the project or the user, else guessed.

Knows character encodings, and `.editorconfig`. Knows nothing about how files are read and written.
"""

from __future__ import annotations

import codecs
import contextlib
import locale
import re
import subprocess
import sys
import unicodedata
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from gptoss_acp.errors import ToolError
from gptoss_acp.text import common_ends, split_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAMPLE = 2**16
"""Bytes of a text by which its encoding is guessed."""

_MARKED = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16's mark, with which it begins
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_UNICODE = ("utf-8", *_WIDE)

_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_NO_CHARACTERS = {"Cn", "Co", "Cs"}
_ASCII = bytes(range(0x20, 0x7F))
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")
_SINGLE = re.compile(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])")
_UNREADABLE = "\ufffd"
_LETTER = re.compile(rb"[A-Za-z]")
_SEVERAL = re.compile(rb"[\x80-\xff]{2,}")

_WESTERN = "cp1252"
_COMMON = ("gb18030", "cp932", "cp949", "big5", "euc_jis_2004", "cp1251", "koi8_r", "cp1253", _WESTERN)
"""The commoner ones, of those between which a short text leaves the choice."""

_EDITORCONFIG_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding, by the name of Python's codec; a byte order mark is part of the text.

    `is_broken`: there are bytes that are none of it. They are read as U+FFFD, and stay in lines that stay.
    """

    name: str = "utf-8"
    is_guess: bool = False
    is_broken: bool = False

    def fits(self, content: bytes, *, cut: bool = False) -> bool:
        """Whether some bytes are in this encoding; `cut`: their end may be half a character."""
        try:
            self.decode(content, cut=cut)
        except ToolError:
            return False
        return True

    def decode(self, content: bytes, *, cut: bool = False) -> str:
        """Return the text of some bytes; `cut`: half a character at their end is left out.

        Raises:
            ToolError: they are not in this encoding.
        """
        try:
            decoder = codecs.getincrementaldecoder(self.name)("replace" if self.is_broken else "strict")
            return decoder.decode(content, final=not cut)
        except UnicodeDecodeError as error:
            where = f"byte {content[error.start]:#04x} at position {error.start:,}"
            raise ToolError(f"it is not text in {self}: {where}") from None

    def encode(self, text: str, old: bytes | None = None) -> bytes:
        """Return the bytes of a text: of a line that `old` has too, those that it has there.

        Raises:
            ToolError: the encoding does not have one of its characters.
        """
        try:
            if old is None or self.is_exact:
                return text.encode(self.name)
            return b"".join(self._lines(text, old))
        except UnicodeEncodeError as error:
            character = error.object[error.start]
            raise ToolError(
                f"the file is in {self}, which has no {character!r} (U+{ord(character):04X}); "
                "use other characters, or convert the file first"
            ) from None

    @property
    def is_wide(self) -> bool:
        """Whether a line's end is not the byte that it is in ASCII."""
        return self.name in _WIDE

    @property
    def is_exact(self) -> bool:
        """Whether there is one way only to write a text."""
        return self.name in _UNICODE and not self.is_broken

    def _lines(self, text: str, old: bytes) -> Iterator[bytes]:
        was = [(line, line.decode(self.name, "replace")) for line in _LINES.findall(old)]
        new = split_lines(text)
        first, last = common_ends([decoded for _, decoded in was], new)
        known: dict[str, deque[bytes]] = {}
        for line, decoded in was[first : len(was) - last]:
            known.setdefault(decoded, deque()).append(line)
        yield from (line for line, _ in was[:first])
        for decoded in new[first : len(new) - last]:
            same = known.get(decoded)
            if same is None and self.is_broken and _UNREADABLE in decoded:
                raise ToolError(f"a line that would change has bytes that are no {self.name} (U+FFFD); mend it first")
            yield decoded.encode(self.name) if same is None else same.popleft() if len(same) > 1 else same[0]
        yield from (line for line, _ in was[len(was) - last :])

    def __str__(self) -> str:
        if self.is_broken:
            return f"{self.name}, with bytes that are none, shown as U+FFFD"
        return f"{self.name} (a guess)" if self.is_guess else self.name


UTF_8 = Encoding()

_CHARSETS = {
    "utf-8-bom": (UTF_8, "\ufeff"),
    "utf-16le": (Encoding("utf-16-le"), "\ufeff"),
    "utf-16be": (Encoding("utf-16-be"), "\ufeff"),
}


def of(content: bytes, file: Path, *, setting: str = "", cut: bool = False) -> Encoding:
    """Return the encoding of a file's content, or, `cut`, of its beginning.

    By its byte order mark, else UTF-8, also a broken one, or UTF-16 and UTF-32 where that makes text; else as the
    project's `.editorconfig`, the user's `setting` or the locale have it; else a guess.

    Raises:
        ToolError: it is no text, or in no encoding that can be told.
    """
    if marked := _marked(content, cut=cut):
        return marked
    if b"\0" in content:
        return _wide(content, cut=cut)
    if UTF_8.fits(content, cut=cut):
        return UTF_8
    if _is_mostly_utf_8(content):
        return Encoding(is_broken=True)
    for name in (_of_editorconfig(file), setting, locale.getpreferredencoding(do_setlocale=False)):
        if _is_like_ascii(name) and (told := Encoding(codecs.lookup(name).name)).fits(content, cut=cut):
            return told
    return _guess(content, cut=cut)


def _marked(content: bytes, *, cut: bool) -> Encoding | None:
    """Return the encoding that a byte order mark says.

    Raises:
        ToolError: what follows is not in it.
    """
    marked = next((Encoding(name) for mark, name in _MARKED.items() if content.startswith(mark)), None)
    if marked == UTF_8 and not marked.fits(content, cut=cut):
        return Encoding(is_broken=True)
    if marked is not None:
        marked.decode(content, cut=cut)
    return marked


def of_new(file: Path) -> tuple[Encoding, str]:
    """Return the encoding of a file that has no text yet, or ASCII characters alone, and its byte order mark, if any.

    As the project's `.editorconfig` has it, else UTF-8.
    """
    charset = _of_editorconfig(file)
    if charset in _CHARSETS:
        return _CHARSETS[charset]
    return (Encoding(codecs.lookup(charset).name) if _is_like_ascii(charset) else UTF_8), ""


def _of_editorconfig(file: Path) -> str:
    """Return a file's `charset` (https://spec.editorconfig.org), or nothing.

    The patterns are the project's, and become expressions that may take forever: hence a process of its own.
    """
    if not any((folder / ".editorconfig").is_file() for folder in file.parents):
        return ""
    command = [sys.executable, "-I", "-m", "editorconfig", str(file)]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        ended = subprocess.run(  # noqa: S603 (no word of it is another's but the file's name)
            command, capture_output=True, timeout=_EDITORCONFIG_SECONDS, check=False, cwd="/"
        )
        for line in ended.stdout.decode(errors="replace").splitlines():
            name, _, value = line.partition("=")
            if name == "charset":
                return value.lower()
    return ""


@cache
def _is_like_ascii(name: str) -> bool:
    """Whether there is such an encoding, in which ASCII characters, and no others, stand as they do in ASCII."""
    try:
        # Spelt out in ASCII, where it is no encoding of files.
        if any(spelt and spelt.isascii() for spelt in (other.encode(name, "ignore") for other in "é漢")):
            return False
        return _ASCII.decode(name) == _ASCII.decode() and "a\n".encode(name) == b"a\n"
    except (LookupError, ValueError):
        return False


def _wide(content: bytes, *, cut: bool) -> Encoding:
    """Return in which encoding content is text that has null bytes.

    Raises:
        ToolError: it is none.
    """
    for name in _WIDE:
        with contextlib.suppress(UnicodeDecodeError):
            text = content[: len(content) // 4 * 4].decode(name) if cut else content.decode(name)
            characters = set(text[:SAMPLE])
            is_odd = _CONTROLS.search(text) or not _NO_CHARACTERS.isdisjoint(map(unicodedata.category, characters))
            if not is_odd and any(map(str.isascii, characters)):
                return Encoding(name)
    raise ToolError("it is a binary file")


def _is_mostly_utf_8(content: bytes) -> bool:
    """Whether of what is not ASCII most is UTF-8, which other encodings hardly ever happen to be."""
    text = content.decode(errors="replace")
    broken = text.count(_UNREADABLE)
    return len(text) - len(text.encode("ascii", "ignore")) > 4 * broken


def _guess(content: bytes, *, cut: bool) -> Encoding:
    """Return the encoding that is likeliest, or, for a short text, commonest.

    Raises:
        ToolError: none fits.
    """
    import charset_normalizer  # noqa: PLC0415 (slow, and hardly ever needed)

    sample = b"".join(line for line in _LINES.findall(content) if not line.isascii())[:SAMPLE]
    matches = list(charset_normalizer.from_bytes(sample))
    is_language = bool(matches) and matches[0].coherence > 0
    best = [match for match in matches if (match.chaos, match.coherence) == (matches[0].chaos, matches[0].coherence)]
    names = [name for match in best for name in match.could_be_from_charset]
    names.sort(key=lambda name: _COMMON.index(name) if name in _COMMON else len(_COMMON))
    # Letters with accents stand alone among others, those of other scripts beside one another.
    single, several = (sum(map(len, some.findall(sample))) for some in (_SINGLE, _SEVERAL))
    if not is_language and single > several / 2 and single + several < len(_LETTER.findall(sample)):
        names.insert(0, _WESTERN)
    for name in (*names, *(match.encoding for match in matches), *_COMMON):
        guess = Encoding(name, is_guess=True)
        fits = _is_like_ascii(name) and guess.fits(content, cut=cut)
        if fits and not _CONTROLS.search(guess.decode(content, cut=cut)):
            return guess
    raise ToolError("it is a binary file, or text in an encoding that can't be told")
