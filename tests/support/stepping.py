"""A scheduler on the test's own thread: nothing happens before the test lets it, and then all of it at once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from gptoss_acp.engine.api import BuildMatcher, Constraint, EngineOptions, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Cancel, Resume, Submit
from gptoss_acp.engine.mlx_engine import no_matcher
from gptoss_acp.engine.scheduler import Scheduler
from gptoss_acp.engine.weights import LoadedModel
from gptoss_acp.vocabulary import CALL, STOP_IDS

ROOMY = 2**30

_numbers = itertools.count()


class Stage:
    """The scheduler of `model`, which takes `budget` bytes for contexts, and its generations."""

    def __init__(
        self, model: LoadedModel, budget: int = ROOMY, build_matcher: BuildMatcher = no_matcher, **options: Any
    ) -> None:
        every = {"stop_tokens": STOP_IDS, "branch_tokens": (CALL,), "disk_gb": 0.0, **options}
        self.scheduler = Scheduler(model, EngineOptions(**every), build_matcher)
        self.scheduler.take_memory(budget)
        self.generations: dict[int, Generation] = {}

    def submit(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        branches: Sequence[int] = (),
        constraint: Constraint | None = None,
    ) -> Generation:
        request = Submit("tiny", next(_numbers), tuple(prompt), sampling, tuple(branches), constraint)
        generation = self.generations[request.number] = Generation(request, self.obey)
        self.scheduler.submit(generation)
        return generation

    def obey(self, message: Cancel | Resume) -> None:
        generation = self.generations[message.number]
        if isinstance(message, Cancel):
            self.scheduler.cancel(generation)
        else:
            self.scheduler.resume(generation)

    async def tokens(self, *generations: Generation) -> list[list[int]]:
        """Step until all of `generations` have ended, and return what each has sampled."""
        readers = [asyncio.ensure_future(_read(generation)) for generation in generations]
        while not all(reader.done() for reader in readers):
            self.scheduler.step()
            await asyncio.sleep(0)
        return [reader.result() for reader in readers]

    async def some(self, generation: Generation, count: int) -> list[int]:
        """Step until `count` more tokens have been read, and return these."""
        reader = asyncio.ensure_future(_read(generation, count))
        while not reader.done():
            self.scheduler.step()
            await asyncio.sleep(0)
        return reader.result()

    async def generated(self, prompt: Sequence[int], sampling: Sampling, **more: Any) -> list[int]:
        """Return what is sampled after `prompt`."""
        return (await self.tokens(self.submit(prompt, sampling, **more)))[0]

    def rest(self) -> None:
        """Step until there is nothing to do."""
        while self.scheduler.busy:
            self.scheduler.step()


async def _read(generation: Generation, count: int | None = None) -> list[int]:
    if count is not None:
        return [await anext(generation) for _ in range(count)]
    return [token async for token in generation]
