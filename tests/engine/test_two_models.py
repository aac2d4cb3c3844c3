"""Two models on one machine: both stay in memory where they fit, and where they do not the idle one makes room."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gptoss_acp.engine import checkpoints, memory, weights
from gptoss_acp.engine.api import EngineError, EngineOptions, Generation, LoadProgress, Sampling
from gptoss_acp.engine.mlx_engine import MlxEngine
from tests.support.waiting import settled

GREEDY = Sampling(temperature=0, max_tokens=5)
PROMPT = range(1000, 1100)


@pytest.fixture
def first() -> Iterator[MlxEngine]:
    engine = MlxEngine("tiny", EngineOptions((), disk_gb=0))
    yield engine
    engine.close()


async def generated(engine: MlxEngine) -> list[int]:
    await engine.load()
    return [token async for token in engine.generate(list(PROMPT), GREEDY)]


def budget(engine: MlxEngine) -> int:
    assert engine._scheduler is not None
    return engine._scheduler._prefixes.budget


def has_room_for_one(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine be just large enough for the checkpoint alone."""
    room = memory.needed(checkpoints.nbytes(checkpoint))
    monkeypatch.setattr(memory, "usable", lambda: room)


def test_there_is_one_engine_for_each_model(first: MlxEngine, checkpoint: Path) -> None:
    second = first.other(str(checkpoint))
    assert second is not first
    assert second.other("tiny") is first
    assert first.other(str(checkpoint)) is second


async def test_both_speak_at_once_and_share_the_memory_for_contexts(first: MlxEngine, checkpoint: Path) -> None:
    alone = await generated(first)
    of_one = budget(first)
    second = first.other(str(checkpoint))
    of_second = await generated(second)
    assert first._loaded
    assert budget(first) == budget(second) < of_one // 2
    assert await asyncio.gather(*map(generated, (first, second))) == [alone, of_second]
    assert alone != of_second


async def test_an_idle_model_makes_room_and_comes_back(
    first: MlxEngine, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_room_for_one(checkpoint, monkeypatch)
    alone = await generated(first)
    of_one = budget(first)
    second = first.other(str(checkpoint))
    of_second = await generated(second)
    assert (first._loaded, second._loaded) == (False, True)
    assert await generated(first) == alone
    assert (first._loaded, second._loaded) == (True, False)
    assert budget(first) == of_one
    assert await generated(second) == of_second


async def test_a_model_at_work_is_not_disturbed_and_the_other_loads_when_it_has_finished(
    first: MlxEngine, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_room_for_one(checkpoint, monkeypatch)
    monkeypatch.setattr(Generation, "HIGH_WATER", 6)
    await first.load()
    working = first.generate(list(PROMPT), Sampling(temperature=0, max_tokens=200))
    await settled(lambda: working.overfull)
    second = first.other(str(checkpoint))
    with pytest.raises(EngineError, match=r"another model is at work .* Try again when that has finished"):
        await second.load()
    assert [await anext(working) for _ in range(20)]
    await working.aclose()
    assert len(await generated(second)) == 5
    assert not first._loaded


async def test_a_model_that_only_reads_ahead_makes_room(
    first: MlxEngine, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_room_for_one(checkpoint, monkeypatch)
    await first.load()
    first.read_ahead([300] * 20_000)
    assert first._scheduler is not None
    scheduler = first._scheduler
    await settled(lambda: scheduler.busy)
    assert len(await generated(first.other(str(checkpoint)))) == 5
    assert not first._loaded
    assert scheduler.idle


async def test_nothing_is_read_ahead_while_the_other_model_speaks(first: MlxEngine, checkpoint: Path) -> None:
    second = first.other(str(checkpoint))
    await second.load()
    await first.load()
    speaking = first.generate(list(PROMPT), Sampling(temperature=0, max_tokens=20))
    await anext(speaking)
    second.read_ahead([300] * 5000)
    assert len([token async for token in speaking]) == 19
    assert second._scheduler is not None
    scheduler = second._scheduler
    await settled(lambda: scheduler._ahead is not None and any(job.done for job in scheduler._ahead.jobs))


async def test_a_load_holds_up_neither_the_other_model_nor_its_cancel(
    first: MlxEngine, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slowly(_model: object, report: Callable[[LoadProgress], None]) -> None:
        while not go_on.wait(0.005):
            report(LoadProgress())

    await first.load()
    speaking = first.generate(list(PROMPT), Sampling(temperature=0, max_tokens=2000))
    await anext(speaking)
    with monkeypatch.context() as patch:
        patch.setattr(weights, "_read", slowly)
        loading = asyncio.create_task(first.other(str(checkpoint)).load())
        assert [await anext(speaking) for _ in range(Generation.HIGH_WATER)]
        await speaking.aclose()
        await first.generate(list(PROMPT), GREEDY).aclose()
        assert not loading.done()
        go_on.set()
        await loading
