"""File changes as the editor shows them: ACP's diffs and locations, within a line's bounds.

Knows the shapes of ACP's tool-call content. Knows nothing about permission or patches.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from gptoss_acp.text import fit, json_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.protocol.shapes import Diff, Location
    from gptoss_acp.workspace.files import Change

_LARGEST = 24_000
"""Bytes, as JSON, of all diffs of a call."""

_CONTEXT = 3


def contents(changes: Sequence[Change]) -> list[Diff]:
    """Return a diff for each change; where they are too large, only the lines around what changes, or some of them."""
    shown = [_diff(change, change.before, change.after) for change in changes]
    if json_size(shown) > _LARGEST:
        shown = [_diff(change, *_narrowed(change.before, change.after)) for change in changes]
    while json_size(shown) > _LARGEST and len(shown) > _LARGEST // 1000:
        shown.pop()
    share = _LARGEST // (2 * len(shown)) - 200 if shown else 0
    if json_size(shown) > _LARGEST:
        shown = [_clipped(diff, share) for diff in shown]
    return shown


def locations(changes: Sequence[Change]) -> list[Location]:
    """Return where each change begins."""
    return [{"path": str(change.path), "line": _first_line(change)} for change in changes[:20]]


def _diff(change: Change, before: str | None, after: str | None) -> Diff:
    return {"type": "diff", "path": str(change.path), "oldText": before, "newText": after or ""}


def _clipped(diff: Diff, share: int) -> Diff:
    old, new = diff["oldText"], diff["newText"]
    return {**diff, "oldText": old and fit(old, share), "newText": fit(new, share)}


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
