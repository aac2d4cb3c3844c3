"""What is told of thoughts, less the time that they took: how fast the machine is, no test can say.

Knows how a thought is told of. Knows nothing about who is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TIME = re.compile(r"(?<= · )(?:[\d,]+ min )?\d+ s, ")


def end_of(thought: Sequence[int]) -> str:
    """Return what is told at the end of a thought for which these ids were sampled."""
    return f" · {len(thought):,} tokens"


def told_of(thought: Sequence[int]) -> str:
    """Return all that is told of a thought."""
    return f"Thinking{end_of(thought)}"


def untimed(told: str) -> str:
    """Return `told` without the time that each thought in it took."""
    return _TIME.sub("", told)
