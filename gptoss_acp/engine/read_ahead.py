"""What the next prompts will begin with, read while there is nothing else to do.

Knows token ids, caches and snapshots. Knows nothing about generations. Used on the engine's thread only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gptoss_acp.engine.batch import Batch, Cache
    from gptoss_acp.engine.prefill_rate import PrefillRate
    from gptoss_acp.engine.prefixes import PrefixCache


@dataclass(eq=False)
class Job:
    """Tokens to read; the first `done` of them are in `cache`, once that is there."""

    tokens: tuple[int, ...]
    done: int = 0
    cache: Cache | None = None


class ReadAheadQueue:
    """The jobs of one model, the oldest first."""

    def __init__(self, prefixes: PrefixCache, rate: PrefillRate) -> None:
        self._prefixes = prefixes
        self._rate = rate
        self.jobs: list[Job] = []

    def add(self, tokens: tuple[int, ...]) -> None:
        """Read `tokens`, some time, and nothing that only leads there."""
        self.jobs = [job for job in self.jobs if tokens[: len(job.tokens)] != job.tokens] + [Job(tokens)]

    def hand_over(self, prompt: tuple[int, ...]) -> None:
        """Let `prompt` go on from what has been read ahead of it, even if that is not finished."""
        for job in self.jobs:
            if job.cache is not None and job.done and prompt[: job.done] == job.tokens[: job.done]:
                self._prefixes.add(job.tokens[: job.done], job.cache)

    def step(self, batch: Batch) -> None:
        """Read one chunk of the first job; what has been read to its end is kept, on the disk too."""
        job = self.jobs[0]
        if job.cache is None:
            job.done, cache = self._prefixes.find([*job.tokens, -1])
            job.cache = cache or batch.new_cache()
        if chunk := job.tokens[job.done : job.done + self._rate.chunk()]:
            started = time.perf_counter()
            batch.read(chunk, job.cache)
            self._rate.note(len(chunk), time.perf_counter() - started)
            job.done += len(chunk)
        if job.done == len(job.tokens):
            self.jobs.remove(job)
            self._prefixes.add(job.tokens, job.cache)
            self._prefixes.persist(job.tokens)
