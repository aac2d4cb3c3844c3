"""The real engine on the bundled model: every generation gives the tokens it would give alone, whatever else happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step

from gptoss_acp.briefing import developer_message
from gptoss_acp.engine import weights
from gptoss_acp.engine.api import EngineError, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.mlx_engine import MlxEngine
from gptoss_acp.ledger import Ledger
from gptoss_acp.vocabulary import STOP_IDS
from tests.support.engines import Engines, engines
from tests.support.tokens import text_of
from tests.support.waiting import settled

TOKENS = 28
GREEDY = Sampling(temperature=0, max_tokens=TOKENS)


def prompt(text: str) -> list[int]:
    ledger = Ledger()
    ledger.set_prefix(developer_message.compose(Path("/work"), has_tools=False), [], "medium", date(2026, 1, 1))
    ledger.add_user(text)
    return ledger.prompt()


COUNT = "Count to 20"
STORY = "Tell me a story"
ODD = "colourless green ideas"
LONG = "word " * 8000


@pytest.fixture(scope="module")
def engine() -> Iterator[MlxEngine]:
    with engines() as new:
        engine = new()
        asyncio.run(engine.load())
        yield engine


@pytest.fixture(scope="module")
def alone(engine: MlxEngine) -> Callable[[str, Sampling], list[int]]:
    """The tokens of a generation that has the engine to itself, sampled once for each question."""
    known: dict[tuple[str, Sampling], list[int]] = {}

    def tokens(text: str, sampling: Sampling) -> list[int]:
        if (text, sampling) not in known:
            known[text, sampling] = asyncio.run(generated(engine, text, sampling))
        return known[text, sampling]

    return tokens


@pytest.fixture
def solo_count(alone: Callable[[str, Sampling], list[int]]) -> list[int]:
    return alone(COUNT, GREEDY)


@pytest.fixture
def solo_story(alone: Callable[[str, Sampling], list[int]]) -> list[int]:
    return alone(STORY, GREEDY)


def seeded(seed: int) -> Sampling:
    return Sampling(temperature=1, top_p=0.9, seed=seed, max_tokens=TOKENS)


@pytest.fixture(scope="module")
def sampling(alone: Callable[[str, Sampling], list[int]]) -> Sampling:
    """A sampling that goes another way than the likeliest, where the model is of two minds and sure ever after.

    Where it is lost, hundreds of thousands of ids are equally likely, and which is drawn then depends on how sums are
    rounded, and so on how many sequences are computed at once.
    """
    greedy = alone(ODD, GREEDY)
    return next(one for one in map(seeded, range(50)) if alone(ODD, one) != greedy)


@pytest.fixture
def solo_seeded(alone: Callable[[str, Sampling], list[int]], sampling: Sampling) -> list[int]:
    return alone(ODD, sampling)


async def generated(engine: MlxEngine, text: str, sampling: Sampling) -> list[int]:
    return [token async for token in engine.generate(prompt(text), sampling)]


async def some(generation: Generation, count: int) -> list[int]:
    return [await anext(generation) for _ in range(count)]


# The tokens


def test_greedy_gives_the_tokens_of_mlx_lm(solo_count: list[int]) -> None:
    model = weights.load(None).model
    steps = generate_step(mx.array(prompt(COUNT)), model, max_tokens=TOKENS)
    assert solo_count == [int(token) for token, _ in steps]


async def test_a_generation_ends_with_its_stop_token(engine: MlxEngine) -> None:
    generation = engine.generate(prompt(COUNT), Sampling(temperature=0, max_tokens=400))
    tokens = [token async for token in generation]
    assert tokens[-1] in STOP_IDS
    assert not set(tokens[:-1]) & set(STOP_IDS)
    assert ", ".join(str(number) for number in range(1, 21)) in text_of(tokens)
    figures = generation.figures
    assert (figures.prompt_tokens, figures.generated_tokens) == (len(prompt(COUNT)), len(tokens))
    assert figures.first_token_seconds > 0
    assert figures.tokens_per_second > 0


async def test_generations_at_once_give_the_tokens_of_each_alone(
    engine: MlxEngine, solo_count: list[int], solo_story: list[int]
) -> None:
    count, story = await asyncio.gather(generated(engine, COUNT, GREEDY), generated(engine, STORY, GREEDY))
    assert (count, story) == (solo_count, solo_story)


async def test_one_that_joins_later_changes_nothing(
    engine: MlxEngine, solo_count: list[int], solo_story: list[int]
) -> None:
    first = engine.generate(prompt(COUNT), GREEDY)
    start = await some(first, 5)
    second = asyncio.create_task(generated(engine, STORY, GREEDY))
    assert start + [token async for token in first] == solo_count
    assert await second == solo_story


async def test_cancelling_one_leaves_the_others_tokens_as_they_were(engine: MlxEngine, solo_count: list[int]) -> None:
    first, second = engine.generate(prompt(COUNT), GREEDY), engine.generate(prompt(STORY), GREEDY)
    start = await some(first, 5)
    await some(second, 5)
    await second.aclose()
    assert start + [token async for token in first] == solo_count
    assert second.figures.generated_tokens < TOKENS


async def test_seeded_sampling_is_repeatable_and_deaf_to_its_neighbours(
    engine: MlxEngine, sampling: Sampling, solo_seeded: list[int], solo_count: list[int]
) -> None:
    again, count = await asyncio.gather(generated(engine, ODD, sampling), generated(engine, COUNT, GREEDY))
    assert (again, count) == (solo_seeded, solo_count)


async def test_another_seed_gives_other_tokens(engine: MlxEngine, solo_seeded: list[int]) -> None:
    others = [await generated(engine, ODD, seeded(seed)) for seed in range(50, 60)]
    assert [other for other in others if other != solo_seeded]


async def test_a_reader_that_is_slow_gets_the_same_tokens(
    engine: MlxEngine, solo_count: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generation, "HIGH_WATER", 6)
    monkeypatch.setattr(Generation, "LOW_WATER", 2)
    generation = engine.generate(prompt(COUNT), GREEDY)
    tokens: list[int] = []
    for _ in range(2):
        await settled(lambda: generation._paused, 20)
        tokens += await some(generation, 6)
    assert tokens + [token async for token in generation] == solo_count


# Cancelling


async def test_cancel_in_the_prefill_of_a_long_prompt_stops_within_a_chunk(
    engine: MlxEngine, solo_count: list[int]
) -> None:
    generation = engine.generate(prompt(LONG), GREEDY)
    await settled(lambda: generation.begun)
    started = time.perf_counter()
    await generation.aclose()
    assert time.perf_counter() - started < 2
    assert generation.figures.generated_tokens == 0
    assert await generated(engine, COUNT, GREEDY) == solo_count


async def test_cancel_at_once_and_twice_is_one_cancel(engine: MlxEngine, solo_count: list[int]) -> None:
    generation = engine.generate(prompt(COUNT), GREEDY)
    await generation.aclose()
    await generation.aclose()
    assert [token async for token in generation] == []
    assert await generated(engine, COUNT, GREEDY) == solo_count


# Failures


async def test_a_prompt_longer_than_the_context_is_refused_with_what_to_do(engine: MlxEngine) -> None:
    with pytest.raises(EngineError, match="clear"):
        engine.generate([1] * engine.context_length, GREEDY)


async def test_a_prompt_that_cannot_start_fails_alone(engine: MlxEngine, solo_count: list[int]) -> None:
    with pytest.raises(EngineError):
        await asyncio.wait_for(anext(engine.generate([], GREEDY)), 5)
    assert await generated(engine, COUNT, GREEDY) == solo_count


async def test_a_failed_load_is_tried_again_and_callers_at_once_share_one(
    new_engine: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Any] = [RuntimeError("disk error"), weights.load(None)]

    def load(*_: Any) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(weights, "load", load)
    engine = new_engine(context_length=len(prompt(COUNT)) + 3)
    for loading in (engine.load(), engine.load()):
        if len(outcomes) == 2:
            with pytest.raises(EngineError, match=r"tiny could not be loaded.*disk error"):
                await loading
        else:
            await asyncio.gather(loading, engine.load(), engine.load())
    assert outcomes == []
    assert engine.context_length == len(prompt(COUNT)) + 3
    assert len(await generated(engine, COUNT, Sampling(temperature=0))) == 3
    with pytest.raises(EngineError, match="context"):
        engine.generate(prompt(LONG), GREEDY)


# Other models


def test_there_is_one_engine_for_each_model(new_engine: Engines, checkpoint: Path) -> None:
    first = new_engine()
    second = first.other(str(checkpoint))
    assert second is not first
    assert second.other("tiny") is first
    assert first.other(str(checkpoint)) is second


async def test_two_models_speak_at_once(new_engine: Engines, checkpoint: Path) -> None:
    first = new_engine(stop_tokens=())
    second = first.other(str(checkpoint))
    await asyncio.gather(first.load(), second.load())
    alone = [await generated(one, COUNT, GREEDY) for one in (first, second)]
    assert await asyncio.gather(*(generated(one, COUNT, GREEDY) for one in (first, second))) == alone
    assert alone[0] != alone[1]


async def test_a_generation_that_is_constrained_without_a_matcher_says_so(engine: MlxEngine) -> None:
    with pytest.raises(EngineError, match="can't hold a generation to a constraint: str"):
        await anext(engine.generate(prompt(COUNT), GREEDY, constraint="only this"))


def test_nothing_takes_memory_before_the_first_load(new_engine: Engines) -> None:
    assert new_engine().memory_bytes == 0


async def test_the_memory_that_is_taken_is_told(engine: MlxEngine) -> None:
    assert engine.memory_bytes > 150_000_000
