"""Unified diffs, as `diff -u` and git write them, told as patches (POSIX, diff; git-diff(1)).

Knows the lines of both formats. Knows nothing about files.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from gptoss_acp.tools.patch.errors import PatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NO_LINE_BREAK = "\\ No newline at end of file"
_NOTHING = "/dev/null"
_GIT = re.compile(r"diff --git (.+)")
_BETWEEN = re.compile(r"(index |old mode|new mode|new file|deleted file|similarity|dissimilarity|copy |Binary )")


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
        # What a hunk removes and adds may look the same, but no hunk begins behind it.
        starts_file = is_header(lines[index : index + 3]) and (not section or _has_header(section))
        if section and (_GIT.match(line) or starts_file):
            yield section
            section = []
        section.append(line)
    if section:
        yield section


def is_header(lines: Sequence[str]) -> bool:
    """Whether `lines` begin with a file's two names, and then a hunk."""
    return len(lines) > 2 and all(map(str.startswith, lines, ("--- ", "+++ ", "@@")))


def _has_header(section: Sequence[str]) -> bool:
    return not _GIT.match(section[0]) or any(line.startswith("@@") for line in section)


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
    for index, (first, second) in enumerate(pairwise(section)):
        if first.startswith("--- ") and second.startswith("+++ "):
            return *_without_sides(_name(first[4:]), _name(second[4:])), index + 2
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
