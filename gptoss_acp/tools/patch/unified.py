"""Unified diffs, as `diff -u` and git write them, told as patches (POSIX, diff; git-diff(1)).

Knows the lines of both formats. Knows nothing about files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gptoss_acp.tools.patch.errors import PatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NOTHING = "/dev/null"
_GIT = re.compile(r"diff --git (.+)")
_BETWEEN = re.compile(
    r"(index |old mode|new mode|new file|deleted file|similarity|dissimilarity|copy |Binary |\\ No new)"
)


def is_diff(lines: Sequence[str]) -> bool:
    """Whether `lines` begin as a unified diff does."""
    begun = [line for line in lines if line.strip()][:2]
    if not begun:
        return False
    return bool(_GIT.match(begun[0])) or (begun[0].startswith("--- ") and begun[-1].startswith("+++ "))


def as_patch(lines: Sequence[str]) -> list[str]:
    """Return what stands between the first and the last line of a patch that does what the diff does.

    Raises:
        PatchError: it names no file, or renames one and does not say to what.
    """
    return [line for section in _sections(lines) for line in _operation(section)]


def _sections(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield the part of each file."""
    section: list[str] = []
    for index, line in enumerate(lines):
        has_header = any(one.startswith("+++ ") for one in section)
        starts_file = line.startswith("--- ") and lines[index + 1 : index + 2] and lines[index + 1].startswith("+++ ")
        if _GIT.match(line) or (starts_file and (has_header or not section)):
            if section:
                yield section
            section = []
        section.append(line)
    if section:
        yield section


def _operation(section: list[str]) -> Iterator[str]:
    old, new, start = _names(section)
    body = [line for line in section[start:] if not _BETWEEN.match(line)]
    if new == _NOTHING:
        yield f"*** Delete File: {old}"
    elif old == _NOTHING:
        yield f"*** Add File: {new}"
        yield from (line for line in body if line.startswith("+"))
    else:
        yield f"*** Update File: {old}"
        if new != old:
            yield f"*** Move to: {new}"
        yield from body


def _names(section: list[str]) -> tuple[str, str, int]:
    """Return a file's names before and after, and at which line its hunks begin."""
    named = {line[:4]: (_name(line[4:]), index) for index, line in enumerate(section) if line[:4] in {"--- ", "+++ "}}
    if "+++ " in named and "--- " in named:
        (old, _), (new, last) = named["--- "], named["+++ "]
        return *_without_sides(old, new), last + 1
    renamed = {line[:9]: line.split(" ", 2)[2] for line in section if line.startswith(("rename from ", "rename to "))}
    if len(renamed) == 2:
        return renamed["rename fr"], renamed["rename to"], len(section)
    raise PatchError("a unified diff names a file by the lines --- and +++; write a patch with *** Update File: path")


def _name(text: str) -> str:
    return text.split("\t", maxsplit=1)[0].strip().strip('"')


def _without_sides(old: str, new: str) -> tuple[str, str]:
    """Leave out the `a/` and `b/` that git puts before names."""
    if old.startswith("a/") and new.startswith("b/"):
        return old[2:], new[2:]
    if old == _NOTHING:
        return old, new.removeprefix("b/")
    return (old.removeprefix("a/"), new) if new == _NOTHING else (old, new)
