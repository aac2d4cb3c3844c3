"""Whatever goes wrong on the engine's thread: who waits for it is told at once, the log says why, and the next works."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from gptoss_acp.engine import thread
from gptoss_acp.engine.api import EngineError, Sampling
from gptoss_acp.engine.batch import Batch
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Cancel, Load, Resume, Unload
from gptoss_acp.engine.mlx_engine import MlxEngine
from gptoss_acp.engine.read_ahead import ReadAheadQueue
from gptoss_acp.engine.residency import Residency
from gptoss_acp.engine.scheduler import Scheduler
from tests.support.engines import Engines, thread_of
from tests.support.waiting import settled

SECONDS = 60
"""A ceiling for what is at once, or takes as long as a load."""

GREEDY = Sampling(temperature=0, max_tokens=5)
LONG = Sampling(temperature=0, max_tokens=5000)
PROMPT = range(1000, 1100)


class Escape(BaseException):
    """What nobody catches who catches an Exception."""


@dataclass
class Trap:
    """A function that waits until the test has seen that the thread is in it, and then raises."""

    error: BaseException
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self, *_: Any) -> Any:
        self.reached.set()
        self.go_on.wait(SECONDS)
        raise self.error


@dataclass(frozen=True)
class Point:
    """Something the thread does, and how to make it do that."""

    owner: type
    name: str
    trigger: Callable[[MlxEngine, Generation], object]
    error: type[BaseException] = RuntimeError


POINTS = {
    "load": Point(Residency, "load", lambda engine, _: engine._driver.load(Load("other", None)), Escape),
    "submit": Point(Residency, "submit", lambda engine, _: engine.generate(PROMPT, GREEDY), Escape),
    "cancel": Point(Residency, "cancel", lambda engine, one: engine._driver.send(Cancel(one.request.number))),
    "resume": Point(Residency, "resume", lambda engine, one: engine._driver.send(Resume(one.request.number))),
    "read ahead": Point(Residency, "read_ahead", lambda engine, _: engine.read_ahead(PROMPT)),
    "unload": Point(Residency, "unload_idle", lambda engine, _: engine._driver.send(Unload())),
    "close": Point(Residency, "close", lambda engine, _: engine.close()),
    "a step": Point(Residency, "step", lambda *_: None),
    "the failure handling": Point(Scheduler, "_fail", lambda *_: None),
}


async def rest(generation: Generation) -> list[int]:
    return await asyncio.wait_for(_rest(generation), SECONDS)


async def _rest(generation: Generation) -> list[int]:
    return [token async for token in generation]


def fail(*_: Any) -> Any:
    raise RuntimeError("something broke")


@pytest.mark.parametrize("what", POINTS)
async def test_what_escapes_ends_all_that_waits_and_the_next_prompt_gets_a_fresh_thread(
    what: str,
    new_engine: Engines,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine, point = new_engine(stop_tokens=()), POINTS[what]
    await engine.load()
    expected = await rest(engine.generate(PROMPT, GREEDY))
    running = engine.generate(PROMPT, LONG)
    await anext(running)
    before, trap = thread_of(engine)._thread, Trap(point.error("something broke"))
    with monkeypatch.context() as patch:
        patch.setattr(point.owner, point.name, trap)
        if what == "the failure handling":
            patch.setattr(Batch, "step", fail)
        point.trigger(engine, running)
        assert await asyncio.to_thread(trap.reached.wait, SECONDS)
        queued = engine.generate(PROMPT, GREEDY)
        loading = asyncio.ensure_future(engine.other(str(checkpoint)).load())
        await settled(lambda: str(checkpoint) in thread_of(engine)._loads)
        trap.go_on.set()
        for generation in (running, queued):
            with pytest.raises(EngineError, match=r"broke.*afresh"):
                await rest(generation)
            await asyncio.wait_for(generation.aclose(), SECONDS)
        with pytest.raises(EngineError, match=r"gpt-oss-small could not be loaded: .*broke.*afresh"):
            await asyncio.wait_for(loading, SECONDS)
    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert record.exc_info is not None
    assert record.exc_info[1] is trap.error
    assert await rest(engine.generate(PROMPT, GREEDY)) == expected
    assert thread_of(engine)._thread is not before
    await asyncio.wait_for(engine.load(), SECONDS)


@pytest.mark.parametrize("error", [RuntimeError, EngineError])
async def test_a_generation_that_cannot_start_fails_alone(
    new_engine: Engines, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    engine = new_engine(stop_tokens=())
    await engine.load()
    running = engine.generate(PROMPT, LONG)
    await anext(running)
    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "submit", trap := Trap(error("something broke")))
        trap.go_on.set()
        with pytest.raises(EngineError, match="something broke"):
            await rest(engine.generate(PROMPT, GREEDY))
    assert [await anext(running) for _ in range(20)]


async def test_a_step_that_fails_ends_what_runs_and_the_model_stays_in_memory(
    new_engine: Engines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = new_engine(stop_tokens=())
    await engine.load()
    expected = await rest(engine.generate(PROMPT, GREEDY))
    running = engine.generate(PROMPT, LONG)
    await anext(running)
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "step", fail)
        with pytest.raises(EngineError, match="something broke"):
            await rest(running)
    assert any(record.exc_info for record in caplog.records)
    before = thread_of(engine)._thread
    assert await rest(engine.generate(PROMPT, GREEDY)) == expected
    assert thread_of(engine)._thread is before


async def test_a_failure_while_reading_ahead_is_logged_and_the_next_prompt_works(
    new_engine: Engines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = new_engine()
    await engine.load()
    trap = Trap(RuntimeError("something broke"))
    with monkeypatch.context() as patch:
        patch.setattr(ReadAheadQueue, "step", trap)
        engine.read_ahead(PROMPT)
        assert await asyncio.to_thread(trap.reached.wait, SECONDS)
        waiting = engine.generate([*PROMPT, 1], GREEDY)
        trap.go_on.set()
        assert await rest(waiting)
    assert any(record.exc_info and record.exc_info[1] is trap.error for record in caplog.records)


async def test_the_model_of_a_failed_thread_leaves_the_memory_before_it_is_loaded_again(
    new_engine: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread.log, "disabled", True)  # pytest would keep the traceback, and that the model
    engine = new_engine()
    gc.collect()
    before = mx.get_active_memory()
    await engine.load()
    weights = mx.get_active_memory() - before
    with monkeypatch.context() as patch:
        patch.setattr(Residency, "read_ahead", fail)
        engine.read_ahead(PROMPT)
        await settled(lambda: not engine._driver.status("tiny").loaded, SECONDS)
    assert mx.get_active_memory() - before < weights / 10
    await engine.load()
    assert mx.get_active_memory() - before < 1.1 * weights


async def test_a_system_that_gives_no_thread_is_told_of_and_may_give_one_later(
    new_engine: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(EngineError, match="The engine can't start: something broke"):
            engine._driver.load(Load("tiny", None))
    await asyncio.wait_for(engine.load(), SECONDS)


async def test_an_engine_that_cannot_start_says_so_at_every_load(
    new_engine: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gptoss_acp.engine.residency", None)
    engine = new_engine()
    engine.start()
    for _ in range(2):
        with pytest.raises(EngineError, match=r"tiny could not be loaded: MLX can't run.*\[cuda13\]"):
            await asyncio.wait_for(engine.load(), SECONDS)
