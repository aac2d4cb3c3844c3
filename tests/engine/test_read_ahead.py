"""What is read while nothing else is to do: prompts go on from it, finished or not, and never wait for it."""

from __future__ import annotations

import pytest

from gptoss_acp.engine.api import Sampling
from gptoss_acp.engine.weights import LoadedModel
from tests.support.stepping import Stage

GREEDY = Sampling(temperature=0, max_tokens=5)
LONG = tuple(range(1000, 4000))


@pytest.fixture
def stage(model: LoadedModel) -> Stage:
    return Stage(model)


async def test_a_prompt_goes_on_from_where_reading_ahead_was_interrupted(stage: Stage, model: LoadedModel) -> None:
    stage.scheduler.read_ahead(LONG)
    (job,) = stage.scheduler._ahead.jobs
    while job.done < 900:
        stage.scheduler.step()
    assert job.done < len(LONG)
    prompt = [*LONG, 300]
    generation = stage.submit(prompt, GREEDY)
    assert generation.figures.cached_tokens == job.done
    assert await stage.tokens(generation) == [await Stage(model).generated(prompt, GREEDY)]


async def test_what_has_been_read_to_its_end_is_not_read_again(stage: Stage) -> None:
    stage.scheduler.read_ahead(LONG[:600])
    stage.rest()
    stage.scheduler.read_ahead(LONG[:600])
    assert not stage.scheduler.busy
    generation = stage.submit([*LONG[:600], 300], GREEDY)
    assert generation.figures.cached_tokens == 600


async def test_reading_ahead_waits_for_what_is_generated(stage: Stage) -> None:
    stage.scheduler.read_ahead(LONG)
    (job,) = stage.scheduler._ahead.jobs
    generation = stage.submit([300, 301], GREEDY)
    while not generation.ended:
        stage.scheduler.step()
    assert job.done == 0
    stage.rest()
    assert job.done == len(LONG)


def test_what_only_leads_to_what_is_to_be_read_now_is_not_read_by_itself(stage: Stage) -> None:
    for tokens in (LONG[:100], LONG[1:50], LONG[:200]):
        stage.scheduler.read_ahead(tokens)
    assert [job.tokens for job in stage.scheduler._ahead.jobs] == [LONG[1:50], LONG[:200]]


def test_what_the_context_does_not_hold_is_not_read(model: LoadedModel) -> None:
    stage = Stage(model, context_length=100)
    stage.scheduler.read_ahead(LONG[:100])
    assert not stage.scheduler.busy
    stage.scheduler.read_ahead(LONG[:99])
    assert stage.scheduler.busy
