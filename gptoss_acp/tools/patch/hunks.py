"""Fits the hunks of a patch into a file's text: finds their place and changes the lines there.

Byte order mark, line ends and a missing last newline stay as the file has them. Knows nothing about files or patches
as a whole.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from gptoss_acp.text import split_lines
from gptoss_acp.tools.patch.errors import PatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gptoss_acp.tools.patch.parse import Hunk, Sign

    Lines = list[tuple[Sign, str]]

_PUNCTUATION = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u2018\u2019\u201a\u201b", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f", '"')
    | dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " ")
)
_MOST_COMPARISONS = 2_000_000
_COPIED_NUMBER = re.compile(r"\A\s{0,9}L?(?P<number>\d{1,9})(?:: ?|\t)")
_MOST_ANCHORS = 100


def _exactly(line: str) -> str:
    return line


def _plainly(line: str) -> str:
    return line.translate(_PUNCTUATION).rstrip()


_TOLERANCES: tuple[Callable[[str], str], ...] = (_exactly, str.rstrip, _plainly)
"""How lines are compared: as they are, without trailing space, with Unicode punctuation as ASCII too."""


def apply(hunks: Sequence[Hunk], text: str) -> str:
    """Return `text` changed by `hunks`, each found below the one before it.

    Raises:
        PatchError: a hunk fits nowhere: which, which of its lines, and what the file has there instead; or it fits in
            two places.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    file = _File(text.removeprefix(mark))
    for hunk in hunks:
        file.change(hunk)
    return mark + file.text()


class _File:
    """A file's lines and their ends as they were, what has become of them, and how far its hunks have come."""

    def __init__(self, text: str) -> None:
        pieces = split_lines(text)
        self._ends = ["\r\n" if piece.endswith("\r\n") else "\n" if piece.endswith("\n") else "" for piece in pieces]
        self._lines = [piece.removesuffix(end) for piece, end in zip(pieces, self._ends, strict=True)]
        self._last_newline = not self._ends or self._ends[-1] != ""
        self._end = Counter(end for end in self._ends if end).most_common(1)[0][0] if any(self._ends) else "\n"
        self._views = [_View(self._lines, tolerance) for tolerance in _TOLERANCES]
        self._changed: list[tuple[str, str]] = []
        self._done = 0

    def text(self) -> str:
        self._keep(len(self._lines))
        pieces = [(line, end or self._end) for line, end in self._changed]
        if pieces and not self._last_newline:
            pieces[-1] = (pieces[-1][0], "")
        return "".join(line + end for line, end in pieces)

    def change(self, hunk: Hunk) -> None:
        anchors = self._find_anchors(hunk)
        for lines, number in _readings(hunk.lines, self._lines):
            if fitted := self._fit(replace(hunk, line=number) if number else hunk, lines, anchors):
                self._replace(*fitted)
                return
        self._fail(hunk, _old(hunk.lines), anchors[0] if anchors else None)

    def _fit(self, hunk: Hunk, lines: Lines, anchors: list[int]) -> tuple[Lines, int] | None:
        """Return the lines with as many blank ones at their end as the file has, and where they fit."""
        only_blank_context = all(sign == "+" or (sign, line) == ("", "") for sign, line in lines)
        if only_blank_context and not hunk.at_end:
            lines = _without_blank_end(lines)
        found = self._place(hunk, _old(lines), anchors)
        while found is None and lines and lines[-1] in {("", ""), (" ", "")}:
            # One at a time, for there may be more of them than the file has.
            lines = lines[:-1]
            found = self._place(hunk, _old(lines), anchors)
        return None if found is None else (lines, found)

    def _find_anchors(self, hunk: Hunk) -> list[int]:
        """Return the index of the line that the last anchor names; of each such line, where it is the only anchor."""
        found: list[int] = []
        start = self._done
        for anchor in hunk.anchors:
            found = self._lines_of(anchor, start)
            if not found:
                where = f"after line {start}" if start else "in the file"
                raise PatchError(f"hunk {_name(hunk)}: no line `{anchor}`, as its @@ says, is {where}")
            start = found[0] + 1
        return found if len(hunk.anchors) == 1 else found[:1]

    def _lines_of(self, anchor: str, start: int) -> list[int]:
        for view in (self._views[0], self._views[-1]):
            places = view.places_of(anchor)
            if found := places[bisect_left(places, start) :]:
                return found
        return []

    def _place(self, hunk: Hunk, old: Sequence[str], anchors: list[int]) -> int | None:
        """Return the index at which `old` stands, below the anchor or from its line on.

        Raises:
            PatchError: it stands at several, and nothing says which is meant.
        """
        if not old:
            return self._place_to_insert(hunk, anchors)
        if hunk.at_end:
            at_end = max(self._done, len(self._lines) - len(old))
            return self._find(old, at_end)
        first = self._find(old, anchors[0] if anchors else self._done)
        if first is None:
            return None
        if hunk.line is not None:
            return self._nearest_to(hunk.line - 1, old, first)
        if anchors:
            others = (self._find(old, anchor) for anchor in anchors[1:_MOST_ANCHORS] if anchor > first)
            _refuse_several(hunk, first, next(filter(None, others), None))
        else:
            _refuse_several(hunk, first, self._find(old, first + 1, alike=first))
        return first

    def _place_to_insert(self, hunk: Hunk, anchors: list[int]) -> int:
        if hunk.line is not None:
            return min(max(hunk.line - 1, self._done), len(self._lines))
        if hunk.at_end or not anchors:
            return len(self._lines)
        _refuse_several(hunk, anchors[0] + 1, anchors[1] + 1 if anchors[1:] else None)
        return anchors[0] + 1

    def _find(self, old: Sequence[str], start: int, alike: int | None = None) -> int | None:
        """Return the first index from `start` on at which `old` stands, by the strictest comparison that finds any.

        With `alike`, by that by which it also stands there.
        """
        for view in self._views:
            if alike is None or view.find(old, alike) == alike:
                found = view.find(old, start)
                if found is not None or alike is not None:
                    return found
        return None

    def _nearest_to(self, wanted: int, old: Sequence[str], first: int) -> int:
        """Return the index next to `wanted` at which `old` stands as it does at the `first`."""
        view = next(view for view in self._views if view.find(old, first) == first)
        before, behind = view.find_last(old, wanted), view.find(old, max(wanted, first))
        places = [place for place in (before, behind) if place is not None and place >= first]
        return min(places, key=lambda place: abs(place - wanted))

    def _replace(self, lines: Lines, at: int) -> None:
        self._keep(at)
        # Context is taken from the file, which it may match only with tolerance.
        for sign, line in lines:
            if sign == "+":
                self._changed.append((line, self._end))
            elif sign == "-":
                self._done += 1
            else:
                self._keep(self._done + 1)

    def _keep(self, until: int) -> None:
        self._changed += zip(self._lines[self._done : until], self._ends[self._done : until], strict=True)
        self._done = until

    def _part_of_a_line(self, told: Sequence[str]) -> str:
        """Say of lines that are not there what comes nearest: one that they are a part of."""
        for part in told:
            for number, line in enumerate(self._lines, 1):
                if part.strip() in line:
                    return f"but line {number} is `{line[:200]}`; a patch gives whole lines"
        return f"such as `{''.join(told[:1])[:200]}`"

    def _fail(self, hunk: Hunk, old: Sequence[str], anchor: int | None) -> NoReturn:
        problem = f"hunk {_name(hunk)} does not apply"
        start = self._done if anchor is None else anchor
        if hunk.at_end and self._find(old, start) is not None:
            raise PatchError(f"{problem}: its lines are not at the end of the file")
        if start and self._find(old, 0) is not None:
            raise PatchError(f"{problem}: its lines stand before line {start + 1}; hunks go from top to bottom")
        known = {_plainly(line) for line in self._lines}
        told = [line for line in old if line.strip()]
        strange = [line for line in told if _plainly(line) not in known]
        if len(strange) == len(told):
            raise PatchError(f"{problem}: no line of it is in the file, {self._part_of_a_line(told)}")
        nearest = self._nearest(old, start)
        if nearest is None:
            reason = f"`{strange[0][:200]}` is not in the file" if strange else "its lines are not together in the file"
            raise PatchError(f"{problem}: {reason}")
        for offset, line in enumerate(old):
            at = nearest + offset
            if at >= len(self._lines):
                raise PatchError(f"{problem}: it goes on with `{line[:200]}` where the file ends, after line {at}")
            if _plainly(self._lines[at]) != _plainly(line):
                raise PatchError(
                    f"{problem}: line {at + 1} of the file is `{self._lines[at][:200]}`, not `{line[:200]}`"
                )
        raise PatchError(problem)

    def _nearest(self, old: Sequence[str], start: int) -> int | None:
        """Return the index where most lines of `old` stand, if any does."""
        if len(old) * len(self._lines) > _MOST_COMPARISONS:
            return None
        lines = [_plainly(line) for line in self._lines]
        wanted = [_plainly(line) for line in old]
        best, most = None, 0
        for index in range(start, len(lines)):
            same = sum(
                1
                for ours, theirs in zip(wanted, lines[index : index + len(wanted)], strict=False)
                if ours and ours == theirs
            )
            if same > most:
                best, most = index, same
        return best


class _View:
    """Lines as one tolerance sees them, made ready so that to find some of them takes no longer than to read them."""

    def __init__(self, lines: Sequence[str], tolerance: Callable[[str], str]) -> None:
        self._tolerance = tolerance
        self._given = lines

    def find(self, old: Sequence[str], start: int) -> int | None:
        """Return the first index from `start` on at which `old` stands."""
        if start >= len(self._given):
            return None
        return self._index(self._text.find(self._wanted(old), self._offsets[start]))

    def find_last(self, old: Sequence[str], until: int) -> int | None:
        """Return the last index up to `until` at which `old` stands."""
        wanted = self._wanted(old)
        offset = self._offsets[min(until, len(self._offsets) - 1)]
        return self._index(self._text.rfind(wanted, 0, offset + len(wanted)))

    def places_of(self, line: str) -> list[int]:
        """Return every index at which `line` stands, whatever its indent."""
        return self._places.get(self._tolerance(line), [])

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for index, line in enumerate(self._given):
            places.setdefault(self._tolerance(line).strip(), []).append(index)
        return places

    def _wanted(self, old: Sequence[str]) -> str:
        return "".join(f"\n{self._tolerance(line)}" for line in old) + "\n"

    def _index(self, offset: int) -> int | None:
        return None if offset < 0 else bisect_left(self._offsets, offset)

    @cached_property
    def _text(self) -> str:
        return "".join(f"\n{self._tolerance(line)}" for line in self._given) + "\n"

    @cached_property
    def _offsets(self) -> list[int]:
        """Where each line's text begins, with the line break before it."""
        return [match.start() for match in re.finditer("\n", self._text)][:-1]


def _refuse_several(hunk: Hunk, first: int, second: int | None) -> None:
    if second is not None:
        raise PatchError(
            f"hunk {_name(hunk)} fits in several places, at lines {first + 1} and {second + 1}; "
            "add more of the lines around it, or name one above it behind @@"
        )


def _readings(lines: Lines, file: Sequence[str]) -> Iterator[tuple[Lines, int | None]]:
    """Yield the lines as they are, then with the blanks that their context has lost, then without copied numbers.

    All of the context may have lost its blank, or only what the file does not have otherwise. The number of the first
    line comes with the last.
    """
    yield lines, None
    if any(sign in {"", " "} for sign, _ in lines):
        yield [(sign, f" {line}" if sign == " " and line else line) for sign, line in lines], None
        known = set(file)
        yield [(sign, f" {line}" if sign == " " and line not in known else line) for sign, line in lines], None
    numbers = [_COPIED_NUMBER.match(line) for line in _old(lines) if line.strip()]
    if numbers and (first := numbers[0]) and all(numbers):
        blank = next(index for index, line in enumerate(_old(lines)) if line.strip())
        plain: Lines = [(sign, _COPIED_NUMBER.sub("", line, count=1)) for sign, line in lines]
        yield plain, max(1, int(first["number"]) - blank)


def _without_blank_end(lines: Lines) -> Lines:
    """Leave out blank lines of context at the end: they may be the space before the next section of the patch."""
    end = len(lines)
    while end and lines[end - 1] == ("", ""):
        end -= 1
    return lines[:end]


def _old(lines: Sequence[tuple[str, str]]) -> list[str]:
    return [line for sign, line in lines if sign != "+"]


def _name(hunk: Hunk) -> str:
    return f"{hunk.number} (line {hunk.patch_line} of the patch)"
