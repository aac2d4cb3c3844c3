"""Eight sessions at once on the real engine: any of them is cancelled within a step, and no other notices."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from gptoss_acp.engine.api import EngineError, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.scheduler import Scheduler
from gptoss_acp.ledger import Ledger
from tests.support.engines import Engines

SESSIONS = 8
CANCELS = 24
TOKENS = 40
LONG = 3000
"""Words of a prompt that is still being read when it is cancelled."""


def prompt(text: str) -> list[int]:
    ledger = Ledger()
    ledger.add_user(text)
    return ledger.prompt()


async def collect(generation: Generation) -> list[int]:
    return [token async for token in generation]


async def test_a_cancel_among_eight_is_confirmed_within_a_step_and_disturbs_no_other(
    new_engine: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    step = Scheduler.step

    def counted_step(scheduler: Scheduler) -> None:
        nonlocal steps
        step(scheduler)
        steps += 1

    confirmed_at: dict[Generation, int] = {}
    end = Generation.end

    def noted_end(generation: Generation, error: EngineError | None = None) -> None:
        confirmed_at[generation] = steps
        end(generation, error)

    monkeypatch.setattr(Scheduler, "step", counted_step)
    monkeypatch.setattr(Generation, "end", noted_end)
    engine = new_engine()
    await engine.load()
    greedy = Sampling(temperature=0, max_tokens=TOKENS)
    texts = [f"Count to {number}" for number in range(70, 70 + SESSIONS)]
    alone = [await collect(engine.generate(prompt(text), greedy)) for text in texts]
    stays = [asyncio.create_task(collect(engine.generate(prompt(text), greedy))) for text in texts]
    random = Random(4)
    for number in range(CANCELS):
        text = "word " * LONG if number % 4 == 0 else random.choice(texts)
        generation = engine.generate(prompt(text), greedy)
        for _ in range(random.randrange(3) if number % 4 else 0):
            await anext(generation)
        await asyncio.sleep(random.random() * 0.05)
        closing = asyncio.create_task(generation.aclose())
        await asyncio.sleep(0)
        # From the cancel to the engine's answer: this thread may be put aside before the one and after the other.
        before = steps
        await closing
        assert not generation.begun or confirmed_at[generation] - before <= 1
        assert await collect(generation) == []
        if all(task.done() for task in stays):
            assert [task.result() for task in stays] == alone
            stays = [asyncio.create_task(collect(engine.generate(prompt(text), greedy))) for text in texts]
    assert await asyncio.gather(*stays) == alone
