"""Processes that make batches ahead of a device that trains faster than one of them can.

Knows processes and queues. Knows nothing about what is in a batch.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.queues import Queue
from queue import Empty

from tiny.batches import batches
from tiny.model import Batch
from tiny.vocabulary import Vocabulary

AHEAD = 4
"""Batches that wait for each process's next."""

PATIENCE_SECONDS = 5.0
"""For a batch, before the processes are looked at."""


@contextlib.contextmanager
def batches_of_many(
    count: int, seed: int, vocabulary: Vocabulary, avoided: frozenset[str], shares: tuple[float, ...], parts: int
) -> Iterator[Iterator[Batch]]:
    """Give batches made by `count` processes, each from a seed of its own; they end with the block."""
    context = multiprocessing.get_context("spawn")
    queue: Queue[Batch] = context.Queue(AHEAD * count)
    arguments = vocabulary, avoided, shares, parts
    makers = [
        context.Process(target=_make, args=(queue, seed + 1_000_003 * number, *arguments), daemon=True)
        for number in range(count)
    ]
    for maker in makers:
        maker.start()

    def made() -> Iterator[Batch]:
        while True:
            try:
                yield queue.get(timeout=PATIENCE_SECONDS)
            except Empty:
                if any(maker.exitcode is not None for maker in makers):
                    raise RuntimeError("a process that makes batches has ended") from None

    try:
        yield made()
    finally:
        for maker in makers:
            maker.kill()


def _make(
    queue: Queue[Batch],
    seed: int,
    vocabulary: Vocabulary,
    avoided: frozenset[str],
    shares: tuple[float, ...],
    parts: int,
) -> None:
    for batch in batches(seed, vocabulary, avoided, shares, parts):
        queue.put(batch)
