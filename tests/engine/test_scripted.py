"""The engine that plays given ids: each call the next list, slowed or stopped as a real one."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.engine.api import PromptTooLongError, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Cancel
from gptoss_acp.engine.scripted import ScriptedEngine
from tests.support.waiting import settled


def scripted(folder: Path, *generations: list[int], **more: Any) -> ScriptedEngine:
    file = folder / "script.json"
    file.write_text(json.dumps({"generations": generations, **more}))
    return ScriptedEngine(file)


async def play(engine: ScriptedEngine, sampling: Sampling = Sampling()) -> list[int]:  # noqa: B008, it is frozen
    return [token async for token in engine.generate([1], sampling)]


async def test_each_call_plays_the_next_list_and_the_last_one_again_for_more(tmp_path: Path) -> None:
    engine = scripted(tmp_path, [1, 2], [3])
    assert [await play(engine) for _ in range(3)] == [[1, 2], [3], [3]]


async def test_no_more_tokens_are_played_than_are_wanted(tmp_path: Path) -> None:
    generation = scripted(tmp_path, [1, 2, 3]).generate([1, 1], Sampling(max_tokens=2))
    assert [token async for token in generation] == [1, 2]
    assert (generation.figures.prompt_tokens, generation.figures.generated_tokens) == (2, 2)


async def test_a_reader_that_is_slow_pauses_it_and_misses_nothing(tmp_path: Path) -> None:
    tokens = list(range(3 * Generation.HIGH_WATER))
    generation = scripted(tmp_path, tokens).generate([1], Sampling())
    await settled(lambda: generation._paused)
    assert generation.figures.generated_tokens == Generation.HIGH_WATER
    assert [token async for token in generation] == tokens


async def test_it_stops_when_it_is_closed_paused_or_not(tmp_path: Path) -> None:
    for delay in (0, 30):
        generation = scripted(tmp_path, list(range(5000)), delay=delay).generate([1], Sampling())
        if not delay:
            await settled(lambda one=generation: one._paused)  # type: ignore[misc]
        await asyncio.wait_for(generation.aclose(), 5)
        assert generation.figures.generated_tokens <= Generation.HIGH_WATER


async def test_it_stops_when_it_is_closed_in_the_moment_before_it_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overfull(generation: Generation) -> bool:
        generation._send(Cancel(generation.request.number))
        return True

    monkeypatch.setattr(Generation, "overfull", property(overfull))
    generation = scripted(tmp_path, [1, 2]).generate([1], Sampling())
    await settled(lambda: generation.ended)


async def test_the_delay_is_before_each_token(tmp_path: Path) -> None:
    engine = scripted(tmp_path, [1, 2, 3], delay=0.05)
    started = time.perf_counter()
    await play(engine)
    assert time.perf_counter() - started >= 0.15


async def test_a_prompt_that_is_too_long_is_refused_as_by_a_model(tmp_path: Path) -> None:
    file = scripted(tmp_path, [1])
    file.context_length = 3
    with pytest.raises(PromptTooLongError):
        file.generate([1, 2, 3], Sampling())
