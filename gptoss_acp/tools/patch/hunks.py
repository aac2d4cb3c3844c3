"""Fits the hunks of a patch into a file's text: finds their place and changes the lines there.

Byte order mark, line ends and a missing last newline stay as the file has them. Knows nothing about files or patches
as a whole.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NoReturn

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
_COPIED_NUMBER = re.compile(r"L?\d{1,9}: ?")


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
    """A file's lines and their ends, and how far its hunks have come."""

    def __init__(self, text: str) -> None:
        pieces = re.findall(r"[^\n]*\n|[^\n]+", text)
        self._ends = ["\r\n" if piece.endswith("\r\n") else "\n" if piece.endswith("\n") else "" for piece in pieces]
        self._lines = [piece.removesuffix(end) for piece, end in zip(pieces, self._ends, strict=True)]
        self._last_newline = not self._ends or self._ends[-1] != ""
        self._end = Counter(end for end in self._ends if end).most_common(1)[0][0] if any(self._ends) else "\n"
        self._done = 0
        self._added = 0

    def text(self) -> str:
        ends = [end or self._end for end in self._ends]
        if ends and not self._last_newline:
            ends[-1] = ""
        return "".join(line + end for line, end in zip(self._lines, ends, strict=True))

    def change(self, hunk: Hunk) -> None:
        anchor = self._find_anchors(hunk)
        for lines in _readings(hunk.lines):
            if fitted := self._fit(hunk, lines, anchor):
                self._replace(*fitted)
                return
        self._fail(hunk, _old(hunk.lines), anchor)

    def _fit(self, hunk: Hunk, lines: Lines, anchor: int | None) -> tuple[Lines, int] | None:
        """Return the lines with as many blank ones at their end as the file has, and where they fit."""
        only_blank_context = all(sign == "+" or (sign, line) == ("", "") for sign, line in lines)
        if only_blank_context and not hunk.at_end:
            lines = _without_blank_end(lines)
        found = self._place(hunk, _old(lines), anchor)
        while found is None and lines and lines[-1] in {("", ""), (" ", "")}:
            # One at a time, for there may be more of them than the file has.
            lines = lines[:-1]
            found = self._place(hunk, _old(lines), anchor)
        return None if found is None else (lines, found)

    def _find_anchors(self, hunk: Hunk) -> int | None:
        """Return the index of the line that the last anchor names."""
        index = None
        start = self._done
        for anchor in hunk.anchors:
            index = self._find_anchor(anchor, start)
            if index is None:
                where = f"after line {start}" if start else "in the file"
                raise PatchError(f"hunk {_name(hunk)}: no line `{anchor}`, as its @@ says, is {where}")
            start = index + 1
        return index

    def _find_anchor(self, anchor: str, start: int) -> int | None:
        for tolerance in (_exactly, _plainly):
            wanted = tolerance(anchor)
            for index in range(start, len(self._lines)):
                if tolerance(self._lines[index]).strip() == wanted:
                    return index
        return None

    def _place(self, hunk: Hunk, old: Sequence[str], anchor: int | None) -> int | None:
        """Return the index at which `old` stands, below the anchor or from its line on.

        Raises:
            PatchError: it stands at several, and nothing says which is meant.
        """
        start = self._done if anchor is None else anchor + 1
        if not old:
            return len(self._lines) if anchor is None or hunk.at_end else start
        if hunk.at_end:
            start = max(self._done, len(self._lines) - len(old))
        places = self._places(old, start)
        if not places and anchor is not None and not hunk.at_end:
            places = self._places(old, anchor)
        if hunk.line is not None:
            wanted = hunk.line - 1 + self._added
            return min(places, key=lambda place: abs(place - wanted), default=None)
        if len(places) > 1 and anchor is None and not hunk.at_end:
            numbers = " and ".join(str(place + 1) for place in places[:2])
            more = f" and {len(places) - 2} more" if len(places) > 2 else ""
            raise PatchError(
                f"hunk {_name(hunk)} fits in several places, at lines {numbers}{more}; "
                "add more of the lines around it, or name one above it behind @@"
            )
        return places[0] if places else None

    def _find(self, old: Sequence[str], start: int) -> int | None:
        return next(iter(self._places(old, start)), None)

    def _places(self, old: Sequence[str], start: int) -> list[int]:
        """Return every index from `start` on at which `old` stands, by the strictest comparison that finds any."""
        for tolerance in _TOLERANCES:
            wanted = [tolerance(line) for line in old]
            lines = [tolerance(line) for line in self._lines[start:]]
            places = [
                start + index
                for index in range(len(lines) - len(wanted) + 1)
                if lines[index] == wanted[0] and lines[index : index + len(wanted)] == wanted
            ]
            if places:
                return places
        return []

    def _replace(self, lines: Lines, at: int) -> None:
        before = len(self._lines)
        # Context is taken from the file, which it may match only with tolerance.
        for sign, line in lines:
            if sign == "+":
                self._lines.insert(at, line)
                self._ends.insert(at, self._end)
                at += 1
            elif sign == "-":
                del self._lines[at], self._ends[at]
            else:
                at += 1
        self._done = at
        self._added += len(self._lines) - before

    def _fail(self, hunk: Hunk, old: Sequence[str], anchor: int | None) -> NoReturn:
        problem = f"hunk {_name(hunk)} does not apply"
        start = self._done if anchor is None else anchor
        if hunk.at_end and self._find(old, start) is not None:
            raise PatchError(f"{problem}: its lines are not at the end of the file")
        if start and self._find(old, 0) is not None:
            raise PatchError(f"{problem}: its lines stand before line {start + 1}; hunks go from top to bottom")
        known = {_plainly(line) for line in self._lines}
        strange = [line for line in old if line.strip() and _plainly(line) not in known]
        if len(strange) == len([line for line in old if line.strip()]):
            raise PatchError(f"{problem}: no line of it is in the file, such as `{_shown(old)}`")
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


def _readings(lines: Lines) -> Iterator[Lines]:
    """Yield the lines as they are, then with the blanks that their context has lost, then without copied numbers."""
    yield lines
    if any(sign in {"", " "} for sign, _ in lines):
        yield [(sign, f" {line}" if sign == " " and line else line) for sign, line in lines]
    old = [line for sign, line in lines if sign != "+" and line.strip()]
    if old and all(map(_COPIED_NUMBER.match, old)):
        yield [(sign, _COPIED_NUMBER.sub("", line, count=1)) for sign, line in lines]


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


def _shown(old: Sequence[str]) -> str:
    return next((line for line in old if line.strip()), "")[:200]
