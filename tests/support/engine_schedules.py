"""Schedules of everything that happens to an engine, by chance: what it samples must be what a cold run samples.

Several sessions at once take turns with prompts that branch off each other around the ends of rings and of blocks of
keys; some are read slowly, some cancelled; memory is short, models are unloaded, engines end and start again from what
is on the disk. Knows the engine's interface, its limits and its messages. Knows nothing about text.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step

from gptoss_acp.engine import prefill_cost, snapshot_files, weights
from gptoss_acp.engine.api import EngineError, EngineOptions, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Unload
from gptoss_acp.engine.mlx_engine import MlxEngine
from tests.support import random_checkpoint
from tests.support.engines import end

BRANCHINGS = (1, 2, 60, 126, 127, 128, 129, 130, 254, 255, 256, 257, 258)
"""Lengths after which prompts differ: a ring holds 128 tokens, and keys are kept in blocks of 256."""

BUDGETS = (0.7e6, 1e6, 1.5e6, 2.5e6, 4e6, 4e6, 8e6, 1e9)
"""Bytes of memory for contexts; a token takes 2,048."""

MOST_TOKENS = 12
STOP = 200_002
TIE = 1e-4
"""Logits closer than this may change places by how sums are rounded; they are of size 4."""


@dataclass(frozen=True, slots=True)
class Said:
    """What was sampled after a prompt; nothing cut it short before it had `least` tokens, or a stop token."""

    prompt: tuple[int, ...]
    tokens: list[int]
    least: int


class ColdModel:
    """What mlx-lm alone samples after a prompt, read in one piece, on the caller's thread."""

    def __init__(self, folder: Path) -> None:
        self._model: Any = weights.load(folder).model
        self._known: dict[tuple[int, ...], list[int]] = {}

    def tokens(self, prompt: tuple[int, ...], count: int) -> list[int]:
        """Return the likeliest `count` tokens after `prompt`."""
        if len(self._known.get(prompt, ())) < count:
            sampled = generate_step(mx.array(prompt), self._model, max_tokens=count)
            self._known[prompt] = [int(token) for token, _ in sampled]
        return self._known[prompt][:count]

    def are_tied(self, prompt: tuple[int, ...], one: int, other: int) -> bool:
        """Whether two tokens are as likely after `prompt`, as far as float32 tells."""
        logits = self._model(mx.array([prompt]))[0, -1]
        return abs(float(logits[one] - logits[other])) < TIE


class EngineSchedules:
    """Runs schedules, each made by its seed, on the checkpoint in `folder`, and counts what happened in them.

    How the seeds' choices meet in time is up to the threads, so a schedule is not the same twice in every step.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        self._home = home
        self._cold = ColdModel(folder)
        self.happened: Counter[str] = Counter()

    def run(self, seed: int) -> list[str]:
        """Run one schedule; return a line for each difference."""
        with pytest.MonkeyPatch.context() as patch:
            schedule = _Schedule(random.Random(seed), str(self._folder), self.happened)
            patch.setattr(snapshot_files, "folder", lambda: self._home / str(seed))
            patch.setattr(Generation, "HIGH_WATER", schedule.rng.choice((4, 9, 256)))
            patch.setattr(Generation, "LOW_WATER", 2)
            patch.setattr(prefill_cost, "MOMENT_SECONDS", schedule.rng.choice((0.001, 0.01, 0.05, 0.2)))
            patch.setattr(prefill_cost, "SMALLEST_CHUNK", schedule.rng.choice((16, 128)))
            asyncio.run(schedule.run())
        self.happened["schedules"] += 1
        return [f"seed {seed}: {line}" for said in schedule.said if (line := self.difference(said))]

    def difference(self, said: Said) -> str | None:
        """Return how what was said differs from what a cold run says, if it does."""
        count = len(said.tokens)
        self.happened["streams"] += 1
        self.happened["tokens"] += count
        if count < said.least and STOP not in said.tokens:
            return f"after {len(said.prompt)} tokens, {count} were sampled, not {said.least}"
        wanted = self._cold.tokens(said.prompt, count) if count else []
        for at, (token, cold) in enumerate(zip(said.tokens, wanted, strict=True)):
            if token != cold:
                if self._cold.are_tied((*said.prompt, *wanted[:at]), token, cold):
                    self.happened["near ties"] += 1
                    return None
                return f"after {len(said.prompt)} tokens, sampled token {at} is {token}, cold it is {cold}"
        return None


class _Schedule:
    """One schedule: its chances, and what was sampled in it."""

    def __init__(self, rng: random.Random, model: str, happened: Counter[str]) -> None:
        self.rng = rng
        self.said: list[Said] = []
        self._model = model
        self._happened = happened
        self._options = EngineOptions(
            stop_tokens=(STOP,),
            branch_tokens=tuple(range(0, 201_088, 2)) if rng.random() < 0.7 else (),
            memory_gb=rng.choice(BUDGETS) / 1e9,
            disk_gb=rng.choice((0.0, 1.0)),
        )
        self._stem = random_checkpoint.tokens(300, rng.randrange(4))

    async def run(self) -> None:
        """Run one to three engines, one after the other, each for some sessions at once."""
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            engine = MlxEngine(self._model, self._options)
            try:
                await engine.load()
                sessions = [self._session(engine, self._chance()) for _ in range(self.rng.randint(1, 4))]
                await asyncio.gather(*sessions, self._disturb(engine, self._chance()))
            finally:
                await asyncio.to_thread(end, engine)
            self._happened["engines"] += 1

    def _chance(self) -> random.Random:
        """Return what decides for one task, whatever the others do meanwhile."""
        return random.Random(self.rng.random())

    async def _session(self, engine: MlxEngine, rng: random.Random) -> None:
        prompt = self._first_prompt(rng)
        for _ in range(rng.randint(1, 3)):
            await asyncio.sleep(rng.choice((0, 0, 0.02, 0.2)))
            sampled = await self._turn(engine, prompt, rng)
            goes_on = rng.choice((len(prompt) - 1, len(prompt), len(prompt) + len(sampled)))
            known = (*prompt, *sampled)[: max(1, goes_on)]
            if rng.random() < 0.5:
                engine.read_ahead(known)
            prompt = (*known, *random_checkpoint.tokens(rng.choice((1, 2, 20)), rng.randrange(9)))

    async def _turn(self, engine: MlxEngine, prompt: tuple[int, ...], rng: random.Random) -> list[int]:
        limit = rng.randint(1, MOST_TOKENS)
        branches = sorted(rng.sample(BRANCHINGS, rng.randint(0, 3)))
        stop_after = rng.choice((None, None, 0, rng.randint(1, limit)))
        pause = rng.choice((0, 0, 0, 0.03))
        tokens: list[int] = []
        room = engine.context_length
        try:
            generation = engine.generate(prompt, Sampling(temperature=0, max_tokens=limit), branches)
            if stop_after == 0:
                await asyncio.sleep(rng.choice((0, 0.05, 0.3)))
            else:
                async for token in generation:
                    tokens.append(token)
                    await asyncio.sleep(pause)
                    if len(tokens) == stop_after:
                        break
            self._happened["cancelled"] += not generation.ended
            await generation.aclose()
        except EngineError as error:
            if "needs about" not in str(error) and "context holds" not in str(error):
                raise
            self._happened["refused"] += 1
            return []
        self._happened["from snapshots"] += generation.figures.cached_tokens > 0
        room = min(room, engine.context_length) - len(prompt)
        self.said.append(Said(prompt, tokens, min(limit, room) if stop_after is None else 0))
        return tokens

    async def _disturb(self, engine: MlxEngine, rng: random.Random) -> None:
        """Let models be unloaded, or another one take half of the memory."""
        for _ in range(rng.randint(0, 3)):
            await asyncio.sleep(rng.random())
            match rng.choice(("unload", "unload", "nothing", "nothing", "nothing", "another")):
                case "unload":
                    engine._driver.send(Unload())
                    self._happened["unloads asked for"] += 1
                case "another":
                    await engine.other("tiny").load()
                    self._happened["models beside"] += 1

    def _first_prompt(self, rng: random.Random) -> tuple[int, ...]:
        shared = self._stem[: rng.choice((*BRANCHINGS, 300))]
        own: Sequence[int] = random_checkpoint.tokens(rng.choice((1, 1, 2, 3, 30, 140)), 50 + rng.randrange(6))
        return (*shared, *own)
