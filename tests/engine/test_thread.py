"""The engine's thread: it begins when there is something to do, rests while there is not, and ends when it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gptoss_acp.engine import weights
from gptoss_acp.engine.api import EngineError, LoadProgress, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Load, Resume, Unload
from gptoss_acp.engine.mlx_engine import MlxEngine
from gptoss_acp.engine.weights import LoadedModel
from gptoss_acp.harmony import render
from tests.support.engines import Engines, end, thread_of
from tests.support.waiting import settled

GREEDY = Sampling(temperature=0, max_tokens=5)
PROMPT = range(1000, 1100)


async def generated(engine: MlxEngine, sampling: Sampling = GREEDY) -> list[int]:
    await engine.load()
    return [token async for token in engine.generate(PROMPT, sampling)]


def loaded(engine: MlxEngine) -> bool:
    return engine._driver.status(engine.model_name).loaded


@pytest.mark.parametrize("minutes", [float("inf"), 1e9, 1e308])
async def test_an_engine_that_never_unloads_waits_for_as_long_as_it_takes(new_engine: Engines, minutes: float) -> None:
    engine = new_engine(idle_minutes=minutes)
    first = await asyncio.wait_for(generated(engine), 60)
    await settled(lambda: (inbox := thread_of(engine)._inbox) is not None and inbox.empty())
    assert await asyncio.wait_for(generated(engine), 60) == first
    assert loaded(engine)


async def test_an_idle_model_is_unloaded_and_comes_back_on_demand(new_engine: Engines) -> None:
    engine = new_engine(idle_minutes=0.3 / 60)
    first = await generated(engine)
    await settled(lambda: not loaded(engine), 60)
    assert engine.context_length > 0
    assert [token async for token in engine.generate(PROMPT, GREEDY)] == first


async def test_a_thread_begins_once_and_ends_when_it_is_closed_and_begins_again(new_engine: Engines) -> None:
    engine = new_engine()
    engine.start()
    thread = thread_of(engine)._thread
    engine.start()
    first = await generated(engine)
    assert thread_of(engine)._thread is thread
    end(engine)
    assert not loaded(engine)
    assert await generated(engine) == first
    assert thread_of(engine)._thread is not thread


async def test_closing_ends_what_runs_and_what_waits(new_engine: Engines, checkpoint: Path) -> None:
    engine = new_engine()
    await engine.load()
    # So hot that it does not come to an end by itself.
    running = engine.generate(PROMPT, Sampling(temperature=50, seed=1, max_tokens=100_000))
    await anext(running)
    engine.close()
    waiting = engine._driver.load(Load("small", checkpoint))
    with pytest.raises(EngineError, match="has ended"):
        await asyncio.wait_for(asyncio.wrap_future(waiting), 20)
    with pytest.raises(EngineError, match="has ended"):
        await asyncio.wait_for(_all(running), 20)
    await asyncio.wait_for(running.aclose(), 5)


async def _all(generation: Generation) -> list[int]:
    return [token async for token in generation]


async def test_what_only_means_something_to_a_living_thread_starts_none(new_engine: Engines) -> None:
    engine = new_engine()
    engine.read_ahead(PROMPT)
    engine.close()
    for message in (Resume(1), Unload()):
        engine._driver.send(message)
    assert thread_of(engine)._thread is None


async def test_who_gives_up_waiting_for_a_load_does_not_stop_it(
    new_engine: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    load = weights.load

    def slowly(folder: Path | None, report: Callable[[LoadProgress], None], *_: object) -> LoadedModel:
        go_on.wait(60)
        return load(folder, report)

    monkeypatch.setattr(weights, "load", slowly)
    engine = new_engine()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.wrap_future(engine._driver.load(Load("tiny", None))), 0.01)
    again = engine._driver.load(Load("tiny", None))
    go_on.set()
    await asyncio.wait_for(asyncio.wrap_future(again), 60)
    assert loaded(engine)


async def test_a_load_holds_up_neither_the_other_model_nor_its_cancel(
    new_engine: Engines, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    load = weights.load

    def slowly(folder: Path | None, report: Callable[[LoadProgress], None], *_: object) -> LoadedModel:
        while not go_on.wait(0.005):
            report(LoadProgress())
        return load(folder, report)

    monkeypatch.setattr(Generation, "HIGH_WATER", 16)
    monkeypatch.setattr(Generation, "LOW_WATER", 4)
    engine = new_engine()
    await engine.load()
    count = [*render.user("Count to 100"), *render.ASSISTANT_START]
    speaking = engine.generate(count, Sampling(temperature=0, max_tokens=2000))
    await anext(speaking)
    monkeypatch.setattr(weights, "load", slowly)
    loading = asyncio.create_task(engine.other(str(checkpoint)).load())
    try:
        assert [await anext(speaking) for _ in range(3 * Generation.HIGH_WATER)]
        await speaking.aclose()
        await engine.generate(PROMPT, GREEDY).aclose()
        assert not loading.done()
    finally:
        go_on.set()
    await loading
