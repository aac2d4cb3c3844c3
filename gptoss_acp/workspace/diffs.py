"""File changes as the editor shows them: ACP's diffs and locations, within a line's bounds.

Knows the shapes of ACP's tool-call content. Knows nothing about permission or patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from gptoss_acp.protocol.shapes import text_content
from gptoss_acp.text import code_span, fit, json_size, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.protocol.shapes import Diff, Location, ToolCallContent
    from gptoss_acp.workspace.files import Change

_LARGEST = 36_000
"""Bytes, as JSON, of all diffs of a call."""

_LONGEST_LOCATIONS = 6_000
_MOST_LOCATIONS = 20
_MOST_LINES_TOLD = 10
_CONTEXT = 3

_HARMLESS = str.maketrans("", "", "\r\f\u00a0\u202f\u3000\u200d\ufe0f\ufeff")
"""Blanks of other scripts, parts of emoji, byte order marks, line ends: what honest texts are full of."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What an editor shows of changes, and whether that is all that they change."""

    contents: list[ToolCallContent]
    whole: bool


def shown(changes: Sequence[Change]) -> Shown:
    """Return a diff for each change, and what can't be seen in it.

    Where they are too large, only the lines around what changes are shown, and of files that go or move as they are
    only their names; and where those are too large, some of them.
    """
    told = _invisible(changes)
    contents: list[ToolCallContent] = [_diff(change, change.before, change.after) for change in changes]
    if json_size(contents) > _LARGEST:
        contents = _narrow(changes)
    if json_size([*told, *contents]) <= _LARGEST:
        return Shown([*told, *contents], whole=True)
    return Shown(_clipped(changes), whole=False)


def locations(changes: Sequence[Change]) -> list[Location]:
    """Return where each change begins."""
    found: list[Location] = [
        {"path": str(change.path), "line": _first_line(change)} for change in changes[:_MOST_LOCATIONS]
    ]
    while json_size(found) > _LONGEST_LOCATIONS:
        found.pop()
    return found


def _diff(change: Change, before: str | None, after: str | None) -> Diff:
    diff: Diff = {"type": "diff", "path": str(change.path), "oldText": before, "newText": after or ""}
    return {**diff, "_meta": {"deleted": True}} if after is None else diff


def _narrow(changes: Sequence[Change]) -> list[ToolCallContent]:
    """Return only what changes: of a file that moves, against what it was where it came from."""
    texts = {change.path: change.before for change in changes if change.after is None}
    contents: list[ToolCallContent] = []
    for change in changes:
        came_from = change.moved_from if change.moved_from in texts else None
        if change.after is None:
            contents.append(text_content(f"{code_span(str(change.path))} goes from here ({_size(change.before)})."))
            continue
        if came_from:
            contents.append(text_content(f"{code_span(str(change.path))} is what {code_span(str(came_from))} was."))
        before = texts[came_from] if came_from else change.before
        if before != change.after:
            contents.append(_diff(change, *_narrowed(before, change.after)))
    return contents


def _clipped(changes: Sequence[Change]) -> list[ToolCallContent]:
    clipped = [_diff(change, *_narrowed(change.before, change.after)) for change in changes[: _LARGEST // 1000]]
    share = _LARGEST // (2 * len(clipped)) - 200
    for diff in clipped:
        diff["oldText"], diff["newText"] = diff["oldText"] and fit(diff["oldText"], share), fit(diff["newText"], share)
    while json_size(clipped) > _LARGEST:
        clipped.pop()
    return [*clipped]


def _invisible(changes: Sequence[Change]) -> list[ToolCallContent]:
    """Say in which lines that come there is something that nobody sees."""
    told: list[ToolCallContent] = []
    for change in changes:
        old = set(_lines(change.before))
        lines = [
            f"- line {number}: `{fit(visible(line.strip()), 300)}`"
            for number, line in enumerate(_lines(change.after), 1)
            if line not in old and visible(plain := line.translate(_HARMLESS)) != plain
        ]
        if lines:
            if (more := len(lines) - _MOST_LINES_TOLD) > 0:
                lines[_MOST_LINES_TOLD:] = [f"- and in {more:,} more lines"]
            said = f"{code_span(str(change.path))} gets characters that can't be seen:"
            told.append(text_content("\n".join([said, *lines])))
    return told


def _size(text: str | None) -> str:
    return f"{len(_lines(text)):,} lines"


def _first_line(change: Change) -> int:
    before, after = _lines(change.before), _lines(change.after)
    return _common(before, after) + 1


def _narrowed(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    """Leave out the lines before and after what changes, but for a few."""
    if before is None or after is None:
        return before, after
    old, new = _lines(before), _lines(after)
    start = _common(old, new)
    rest = min(len(old), len(new)) - start
    end = min(_common(old[::-1], new[::-1]), rest)
    start, end = max(0, start - _CONTEXT), max(0, end - _CONTEXT)
    return "".join(old[start : len(old) - end]), "".join(new[start : len(new) - end])


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))


def _lines(text: str | None) -> list[str]:
    return (text or "").splitlines(keepends=True)
