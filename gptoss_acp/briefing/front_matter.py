"""What a Markdown file says of itself before its text: front matter, YAML between two lines of three hyphens.

Only the single values at its top are read. Nothing is built from the rest, and tags and aliases mean nothing. Knows
YAML. Knows nothing about files, nor what the values are for.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gptoss_acp.text import clip_line, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import yaml

LONGEST = 8 * 1024
"""Characters of front matter."""

_DEEPEST = 16
"""Collections in each other: the slower of YAML's readers looks through all that are open, at each word."""

_LINE = re.compile(r"(?m)^---[ \t]{0,9}$")

_PLAIN_VALUE = re.compile(r"(?m)^([A-Za-z][\w-]{0,40}):[ \t]{1,9}([^\s\"'|>\[\]{}&*!%@`#,?-][^\n]*)$")

_NOTHING = frozenset(["", "~", "null", "Null", "NULL"])


class FrontMatterError(ValueError):
    """A file's front matter can't be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text, and the single values of the front matter before it, by name."""

    fields: Mapping[str, str]
    body: str


def read(text: str) -> Document:
    """Return what a file says; without front matter all of it is the body.

    Raises:
        FrontMatterError: the front matter has no end, is too long, or is no YAML that names values.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    begin = _LINE.match(text)
    if begin is None:
        return Document({}, text.strip())
    end = _LINE.search(text, begin.end())
    if end is None:
        raise FrontMatterError("its front matter has no end, a line with nothing but ---")
    said = text[begin.end() : end.start()]
    if len(said) > LONGEST:
        raise FrontMatterError(f"its front matter is longer than {LONGEST:,} characters")
    return Document(_fields(said), text[end.end() :].strip())


@lru_cache(maxsize=2_048)
def _fields(said: str) -> Mapping[str, str]:
    """Return the single values at the top; a colon in an unquoted one, which YAML forbids and many write, is one."""
    try:
        return dict(_pairs(said))
    except FrontMatterError:
        with contextlib.suppress(FrontMatterError):
            return dict(_pairs(_PLAIN_VALUE.sub(_quoted, said)))
        raise  # the first, which says better what is wrong


def _quoted(pair: re.Match[str]) -> str:
    return f"{pair[1]}: {json.dumps(pair[2].strip(), ensure_ascii=False)}"


def _pairs(said: str) -> Iterator[tuple[str, str]]:
    import yaml  # noqa: PLC0415 (slow, and most sessions have no such file)

    depth = 0
    name: str | None = None
    is_value = False
    for event in _events(said):
        is_scalar = isinstance(event, yaml.ScalarEvent)
        if depth == 0 and (is_scalar or isinstance(event, yaml.SequenceStartEvent)):
            raise FrontMatterError("its front matter names no values, as `description: …` would")
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif depth == 1 and isinstance(event, yaml.NodeEvent):
            if is_value and is_scalar and name is not None and (event.style or event.value not in _NOTHING):
                yield name, event.value
            name = event.value if is_scalar and not is_value else None
            is_value = not is_value
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise FrontMatterError(f"its front matter has more than {_DEEPEST} collections in each other")


def _events(said: str) -> Iterator[yaml.Event]:
    import yaml  # noqa: PLC0415 (likewise)

    try:
        yield from yaml.parse(said, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it can't be read"
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise FrontMatterError(f"its front matter is no YAML: {visible(clip_line(str(problem), 200))}{line}") from None
