"""How fast the ranks of a model reach each other: what a sum over all of them takes.

Knows MLX's collectives. Knows nothing about models. Imported on a rank only.
"""

from __future__ import annotations

import time
from typing import Any

import mlx.core as mx

from gptoss_acp.engine.ranks.reports import Link

WIDTH = 2880
"""Numbers that gpt-oss sums twice a layer for each token: its hidden size."""

SUMS = 100
LARGE = 2**21
"""Numbers of four bytes."""

LARGE_SUMS = 5


def measure(group: Any) -> Link:
    """Return what sums take; called by all ranks of `group` at once."""
    _seconds(group, WIDTH, 5)  # the first ones wait for each other
    small = _seconds(group, WIDTH, SUMS)
    return Link(small, 4 * LARGE / _seconds(group, LARGE, LARGE_SUMS))


def _seconds(group: Any, numbers: int, times: int) -> float:
    """Return how long one sum of so many numbers takes."""
    started = time.perf_counter()
    for _ in range(times):
        mx.eval(mx.distributed.all_sum(mx.ones(numbers), group=group))
    return (time.perf_counter() - started) / times
