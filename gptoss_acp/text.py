"""Keeps what tools bring within bounds: for the model's context, for the editor's lines, for this process's memory.

Knows sizes. Knows nothing about what the text says.
"""

from __future__ import annotations

import difflib
import json
import re
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_RESULT = 24_000
"""Characters of a tool's result; about 6,000 tokens."""

LONGEST_PATH = 4_096
"""Bytes of a path: Linux's PATH_MAX. What is longer can't be there, and takes long to look for."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_CUT = "\n… {} characters left out …\n"

_SHAPELESS = frozenset(
    [
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),  # a joiner, fillers, an empty Braille cell
        *(*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),  # variation selectors
    ]
)
"""Letters and marks that show nothing (Unicode's Default_Ignorable_Code_Point, less classes C and Z)."""


class HeadAndTail:
    """Text that keeps its beginning and its end, `limit` characters at most, however much is added."""

    def __init__(self, limit: int) -> None:
        self._head_limit = limit // 2
        self._tail_limit = limit - self._head_limit
        self._head = ""
        self._tail = ""
        self._left_out = 0

    @property
    def room(self) -> int:
        """How many characters can still be added before any is left out."""
        return self._head_limit - len(self._head) + self._tail_limit - len(self._tail)

    def add(self, text: str) -> None:
        room = self._head_limit - len(self._head)
        self._head += text[:room]
        tail = self._tail + text[room:]
        self._left_out += max(0, len(tail) - self._tail_limit)
        self._tail = tail[-self._tail_limit :]

    def __str__(self) -> str:
        return self._head + (_CUT.format(self._left_out) if self._left_out else "") + self._tail


def clip(text: str, limit: int = LONGEST_RESULT) -> str:
    """Return `text`, with its middle left out where it is longer than `limit` characters."""
    kept = HeadAndTail(limit)
    kept.add(text)
    return str(kept)


def split_lines(text: str) -> list[str]:
    """Return the lines of a text with their ends; no other character than a line feed ends one."""
    return _LINE.findall(text)


def unified_diff(path: str, old: str, new: str) -> list[str]:
    """Return the lines of a unified diff, without their ends."""
    was, becomes = ([line.removesuffix("\n") for line in split_lines(text)] for text in (old, new))
    return list(difflib.unified_diff(was, becomes, path, path, lineterm=""))


def common_ends(left: Sequence[str], right: Sequence[str]) -> tuple[int, int]:
    """Return with how many lines both begin, and with how many others both end."""
    first = _common(left, right)
    return first, min(_common(left[::-1], right[::-1]), min(len(left), len(right)) - first)


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))


def clip_line(text: str, limit: int) -> str:
    """Return `text` in one line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def visible(text: str, keep: str = "\n\t") -> str:
    r"""Return `text` with what shows nothing, or not itself, as its code point: `\u{202E}`.

    That is what Unicode has for control, format, private use and other separators than the blank (classes C and Z), and
    fillers. Only `keep` stays as it is.
    """
    if text.isascii() and text.translate(dict.fromkeys(map(ord, keep))).isprintable():
        return text
    return "".join(letter if letter in keep or _shows(letter) else f"\\u{{{ord(letter):X}}}" for letter in text)


def visible_in(value: Any) -> Any:
    """Return a JSON value whose strings are `visible`."""
    match value:
        case str():
            return visible(value)
        case list():
            return [visible_in(item) for item in value]
        case dict():
            return {visible(str(key)): visible_in(item) for key, item in value.items()}
    return value


def _shows(letter: str) -> bool:
    return letter.isprintable() and ord(letter) not in _SHAPELESS


def fenced(text: str, language: str = "") -> str:
    """Return `text` as a code block of Markdown that nothing in it can end (CommonMark, fenced code blocks)."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.removesuffix(chr(10))}\n{fence}"


def code_span(text: str) -> str:
    """Return a name as a code span of Markdown on one line, where it can't be taken for anything else."""
    shown = visible(text, keep="").replace("`", r"\u{60}")
    return f"`{shown}`"


def as_sentence(problem: str) -> str:
    """Return what a message says with a capital letter and a full stop."""
    return f"{problem[:1].upper()}{problem[1:]}."


def fit(value: Any, size: int) -> Any:
    """Return a JSON value whose strings are cut so far that it takes about `size` bytes as JSON."""
    limit = size
    while json_size(value) > size and limit > 16:
        limit //= 2
        value = _cut(value, limit)
    return value if json_size(value) <= size else "…"


def as_json(value: Any) -> bytes:
    """Return a value as JSON on one line; what is no Unicode in its strings is a question mark there."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # File names' bytes that are no UTF-8 are lone surrogates in Python, which JSON has no place for.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def json_size(value: Any) -> int:
    try:
        return len(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str))
    except TypeError:  # lone surrogates, as in the name of a file that is no UTF-8
        return len(json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass"))


def _cut(value: Any, limit: int) -> Any:
    match value:
        case str():
            return value if len(value) <= limit else value[: limit - 1] + "…"
        case list():
            kept = [_cut(item, limit) for item in value[:limit]]
            return kept if len(value) <= limit else [*kept, "…"]
        case dict():
            return {str(key)[:200]: _cut(item, limit) for key, item in list(value.items())[:limit]}
    return value
