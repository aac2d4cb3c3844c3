"""File changes as the editor shows them: ACP's diffs and locations, within a line's bounds.

Knows the shapes of ACP's tool-call content. Knows nothing about permission or patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gptoss_acp.protocol.shapes import text_content
from gptoss_acp.text import code_span, common_ends, fit, json_size, split_lines, visible
from gptoss_acp.workspace.encodings import UTF_8

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.protocol.shapes import Diff, Location, ToolCallContent
    from gptoss_acp.workspace.edits import Change

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
    told = [*_no_text(changes), *_encoded(changes), *_invisible(changes)]
    changes = [change for change in changes if not change.blob]
    contents: list[ToolCallContent] = [_diff(change, change.old_text, change.new_text) for change in changes]
    if json_size(contents) > _LARGEST:
        contents = _narrow(changes)
    if json_size([*told, *contents]) <= _LARGEST:
        return Shown([*told, *contents], whole=True)
    return Shown(_clipped(changes) if changes else told[:_MOST_LINES_TOLD], whole=False)


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
    texts = {change.path: change.old_text for change in changes if change.new_text is None}
    contents: list[ToolCallContent] = []
    for change in changes:
        came_from = change.moved_from if change.moved_from in texts else None
        if change.new_text is None:
            contents.append(text_content(f"{code_span(str(change.path))} goes from here ({_size(change.old_text)})."))
            continue
        if came_from:
            contents.append(text_content(f"{code_span(str(change.path))} is what {code_span(str(came_from))} was."))
        before = texts[came_from] if came_from else change.old_text
        if before != change.new_text:
            contents.append(_diff(change, *_narrowed(before, change.new_text)))
    return contents


def _clipped(changes: Sequence[Change]) -> list[ToolCallContent]:
    clipped = [_diff(change, *_narrowed(change.old_text, change.new_text)) for change in changes[: _LARGEST // 1000]]
    share = _LARGEST // (2 * len(clipped)) - 200
    for diff in clipped:
        diff["oldText"], diff["newText"] = diff["oldText"] and fit(diff["oldText"], share), fit(diff["newText"], share)
    while json_size(clipped) > _LARGEST:
        clipped.pop()
    return [*clipped]


def _no_text(changes: Sequence[Change]) -> list[ToolCallContent]:
    """Say what becomes of the files that are no text."""
    targets = {change.moved_from: change.path for change in changes if change.moved_from}
    told: list[ToolCallContent] = []
    for change in changes:
        name = code_span(str(change.path))
        if change.blob and change.after is None:
            target = targets.get(change.path)
            becomes = f"moves to {code_span(str(target))}" if target else "is removed"
            told.append(text_content(f"{name} {becomes} ({change.blob})."))
        elif change.blob and change.moved_from is None:
            place = "" if change.before is None else " in place of what is there"
            told.append(text_content(f"{name} comes back{place} ({change.blob})."))
    return told


def _encoded(changes: Sequence[Change]) -> list[ToolCallContent]:
    """Say in which encoding files are written that are not in UTF-8."""
    return [
        text_content(f"{code_span(str(change.path))} is written in {change.encoding}.")
        for change in changes
        if change.new_text is not None and change.encoding != UTF_8
    ]


def _invisible(changes: Sequence[Change]) -> list[ToolCallContent]:
    """Say in which lines that come there is something that nobody sees."""
    told: list[ToolCallContent] = []
    for change in changes:
        old = set(_lines(change.old_text))
        lines = [
            f"- line {number}: `{fit(visible(line.strip()), 300)}`"
            for number, line in enumerate(_lines(change.new_text), 1)
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
    return common_ends(_lines(change.old_text), _lines(change.new_text))[0] + 1


def _narrowed(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    """Leave out the lines before and after what changes, but for a few."""
    if before is None or after is None:
        return before, after
    old, new = _lines(before), _lines(after)
    start, end = (max(0, lines - _CONTEXT) for lines in common_ends(old, new))
    return "".join(old[start : len(old) - end]), "".join(new[start : len(new) - end])


def _lines(text: str | None) -> list[str]:
    return split_lines(text or "")
