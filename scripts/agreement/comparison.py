"""How far log-probabilities are from the reference's, and whether that is near enough.

Knows numbers. Knows nothing about what computed them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

LIKELY = 1e-4
"""The least probability of ids whose log-probabilities are compared."""

NEAR_TIE = 4e-3
"""How far apart two ids may be, in log-probability, for rounding to tell which is the likelier."""


@dataclass(frozen=True)
class Span:
    """Positions before `end`, and what must be so there: the share that agrees, the worst difference."""

    name: str
    end: float
    share: float
    worst: float


SPANS = (
    Span("to 1,024", 1024, 1.0, 2e-3),
    Span("to 4,096", 4096, 0.0, math.inf),
    Span("past 4,096", math.inf, 0.995, math.inf),  # where float32 rounds the angles, the reference's too
)


@dataclass
class Row:
    """The positions of one span, computed in one way; `must` is whether the span's targets are meant for it."""

    what: str
    how: str
    span: Span
    must: bool
    positions: int = 0
    agreeing: int = 0
    worst: float = 0.0
    partings: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.agreeing / self.positions

    @property
    def missed(self) -> bool:
        return self.must and (self.share < self.span.share or self.worst > self.span.worst)

    def add(self, position: int, found: int, wanted: int, expected: Array) -> None:
        """Note which id was found likeliest, and which the reference wanted, by its log-probabilities (vocabulary)."""
        self.positions += 1
        self.agreeing += found == wanted
        if found != wanted:
            gap = float(expected[wanted] - expected[found])
            kind = "near tie" if gap < NEAR_TIE else "PARTING"
            self.partings.append(f"{kind} at position {position}: {wanted} before {found} by {gap:.1e}")


class Comparisons:
    """The rows of a run, in the order in which they came."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, Span], Row] = {}

    @property
    def rows(self) -> list[Row]:
        return list(self._rows.values())

    def add(self, what: str, how: str, first: int, found: Array, expected: Array, *, must: bool = True) -> None:
        """Compare log-probabilities (positions, vocabulary) of what follows each position from `first` on."""
        for position, (ours, theirs) in enumerate(zip(found, expected, strict=True), first):
            row = self._row(what, how, position, must=must)
            row.add(position, int(ours.argmax()), int(theirs.argmax()), theirs)
            likely = theirs > math.log(LIKELY)
            row.worst = max(row.worst, float(np.abs(ours - theirs)[likely].max()))

    def add_sampled(self, what: str, how: str, first: int, found: Sequence[int], expected: Array) -> None:
        """Compare greedily sampled ids with the reference's likeliest, up to where they part."""
        for position, (ours, theirs) in enumerate(zip(found, expected, strict=True), first):
            wanted = int(theirs.argmax())
            self._row(what, how, position, must=position < SPANS[0].end).add(position, ours, wanted, theirs)
            if ours != wanted:
                return

    def _row(self, what: str, how: str, position: int, *, must: bool) -> Row:
        span = next(span for span in SPANS if position < span.end)
        return self._rows.setdefault((what, how, span), Row(what, how, span, must))
