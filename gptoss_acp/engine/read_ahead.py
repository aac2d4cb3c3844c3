"""What the next prompts will begin with, read while there is nothing else to do.

Knows token ids, caches and snapshots. Knows nothing about generations. Used on the engine's thread only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gptoss_acp.engine.batch import Batch
    from gptoss_acp.engine.caches import Cache
    from gptoss_acp.engine.prefill_cost import PrefillCost
    from gptoss_acp.engine.prefixes import PrefixCache


@dataclass(eq=False)
class Job:
    """Tokens to read; the first `done` of them are in `cache`, once that is there."""

    tokens: tuple[int, ...]
    done: int = 0
    cache: Cache | None = None


class ReadAheadQueue:
    """The jobs of one model, the oldest first."""

    def __init__(self, prefixes: PrefixCache, cost: PrefillCost, cache_nbytes: Callable[[int], int]) -> None:
        self._prefixes = prefixes
        self._cost = cost
        self._cache_nbytes = cache_nbytes
        self.jobs: list[Job] = []

    @property
    def nbytes(self) -> int:
        """Bytes of what has been read and is no snapshot yet."""
        return sum(layer.nbytes for job in self.jobs for layer in job.cache or ())

    def add(self, tokens: tuple[int, ...]) -> None:
        """Read `tokens`, some time, and nothing that only leads there."""
        self.jobs = [job for job in self.jobs if tokens[: len(job.tokens)] != job.tokens] + [Job(tokens)]

    def hand_over(self, free: int) -> None:
        """Turn what has been read into snapshots, finished or not, in `free` bytes of memory: a prompt needs the rest.

        Reading goes on from these.
        """
        for job in self.jobs:
            if job.cache is not None:
                self._prefixes.add(job.tokens[: job.done], job.cache, free)
                job.cache = None

    def step(self, batch: Batch, free: int) -> None:
        """Read one chunk of the first job; what has been read to its end is kept, on the disk too.

        Snapshots and what is read take at most `free` bytes; what does not go in there is not read.
        """
        job = self.jobs[0]
        needed = self._cache_nbytes(len(job.tokens))
        if needed > free:
            self.jobs.remove(job)
            return
        if job.cache is None:
            job.done, cache = self._prefixes.find([*job.tokens, -1], free - needed)
            job.cache = cache or batch.new_cache()
        if chunk := job.tokens[job.done : job.done + self._cost.chunk_ahead()]:
            started = time.perf_counter()
            batch.read(chunk, job.cache)
            self._cost.note(len(chunk), time.perf_counter() - started)
            job.done += len(chunk)
        if job.done == len(job.tokens):
            self.jobs.remove(job)
            self._prefixes.add(job.tokens, job.cache, free)
            self._prefixes.persist(job.tokens)
