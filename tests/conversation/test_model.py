"""The model of a session: which one generates, how much of its context is filled, and what waiting for it looks like."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gptoss_acp.conversation import model
from gptoss_acp.conversation.model import ChosenModel
from gptoss_acp.engine.api import EngineError, LoadProgress, PromptTooLongError, Sampling
from tests.support.fake_engine import FakeEngine, RecordingUpdates
from tests.support.waiting import settled


class SlowEngine(FakeEngine):
    """An engine that has not loaded until `go_on` is set."""

    def __init__(self, name: str = "slow", context_length: int = 4096) -> None:
        super().__init__()
        self.model_name = name
        self.context_length = context_length
        self.go_on = asyncio.Event()

    async def load(self) -> None:
        await self.go_on.wait()
        await super().load()


# Which one


async def test_another_engine_is_named_at_once_and_takes_its_place_when_nothing_is_generated() -> None:
    first, second = SlowEngine("first", 100), SlowEngine("second", 200)
    for engine in (first, second):
        engine.go_on.set()
    chosen = ChosenModel(first)
    await chosen.load()
    chosen.choose(second)
    assert chosen.chosen_name == "second"
    assert (chosen.model_name, chosen.context_length) == ("first", 100)
    chosen.generate([1], Sampling())
    chosen.settle()
    assert (chosen.model_name, chosen.context_length) == ("second", 200)
    chosen.choose(first)
    chosen.choose(second)
    await chosen.load()
    assert chosen.context_length == 200
    chosen.generate([1], Sampling())
    assert (len(first.generations), len(second.generations)) == (1, 1)


@pytest.mark.parametrize(("longest", "length"), [(None, 100), (50, 50), (200, 100)])
async def test_the_context_is_as_long_as_the_model_and_the_user_allow(longest: int | None, length: int) -> None:
    chosen = ChosenModel(SlowEngine(context_length=100), longest)
    assert chosen.context_length == length
    with pytest.raises(PromptTooLongError):
        chosen.generate([1] * length, Sampling())


@pytest.mark.parametrize(("asked", "most"), [(None, 60), (10, 10), (90, 60)])
async def test_an_answer_ends_where_the_context_does(asked: int | None, most: int) -> None:
    engine = SlowEngine(context_length=100)
    ChosenModel(engine).generate([1] * 40, Sampling(seed=3, max_tokens=asked))
    assert engine.generations[0].request.sampling == Sampling(seed=3, max_tokens=most)


# Waiting for it


def text(fields: dict[str, Any]) -> str:
    return str(fields["content"][0]["content"]["text"])


async def test_what_is_loaded_within_a_second_is_not_worth_a_word() -> None:
    engine, updates = SlowEngine(), RecordingUpdates()
    asyncio.get_running_loop().call_later(0.4, engine.go_on.set)
    await model.load(engine, updates)
    assert updates.calls == []


async def test_what_takes_longer_is_shown_from_the_first_second_on_until_it_is_loaded() -> None:
    engine, updates = SlowEngine("someone/slow"), RecordingUpdates()
    began = time.monotonic()
    loading = asyncio.create_task(model.load(engine, updates))
    await settled(lambda: len(updates.calls) == 2)
    assert time.monotonic() - began >= 0.99
    (identifier, shown), (_, first) = updates.calls
    assert shown == {"title": "Loading slow", "kind": "other", "status": "in_progress"}
    assert text(first) == "Getting ready, 1 s"
    engine.load_progress = LoadProgress(2 * 10**9, 12 * 10**9)
    await settled(lambda: len(updates.calls) == 3)
    assert text(updates.calls[2][1]).startswith("2.0 of 12.0 GB, ")
    engine.go_on.set()
    await loading
    assert {one for one, _ in updates.calls} == {identifier}
    assert updates.calls[-1][1]["status"] == "completed"
    assert text(updates.calls[-1][1]).startswith("Loaded in ")


async def test_a_load_that_fails_says_why_where_it_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "UNSEEN_SECONDS", 0.0)
    engine, updates = SlowEngine(), RecordingUpdates()
    engine.load_failure = EngineError("no such file")
    loading = asyncio.create_task(model.load(engine, updates))
    await settled(lambda: len(updates.calls) == 2)
    engine.go_on.set()
    with pytest.raises(EngineError, match="no such file"):
        await loading
    assert updates.calls[-1][1]["status"] == "failed"
    assert text(updates.calls[-1][1]) == "no such file"


async def test_a_load_that_fails_at_once_is_only_an_error() -> None:
    engine, updates = SlowEngine(), RecordingUpdates()
    engine.load_failure = EngineError("no such file")
    engine.go_on.set()
    with pytest.raises(EngineError, match="no such file"):
        await model.load(engine, updates)
    assert updates.calls == []


async def test_cancelling_the_wait_shows_that_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "UNSEEN_SECONDS", 0.0)
    engine, updates = SlowEngine(), RecordingUpdates()
    loading = asyncio.create_task(model.load(engine, updates))
    await settled(lambda: len(updates.calls) == 2)
    loading.cancel()
    await asyncio.wait([loading])
    assert loading.cancelled()
    assert (updates.calls[-1][1]["status"], text(updates.calls[-1][1])) == ("failed", "Cancelled.")
