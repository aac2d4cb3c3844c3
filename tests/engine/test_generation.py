"""The tokens of one generation between two threads: in order, bounded, and ended once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gptoss_acp.engine.api import EngineError, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Cancel, Resume, Submit


def generation(sent: list[Cancel | Resume] | None = None) -> Generation:
    return Generation(Submit("tiny", 5, (1, 2, 3), Sampling()), (sent if sent is not None else []).append)


async def read(source: Generation) -> list[int]:
    return [token async for token in source]


async def test_tokens_of_another_thread_come_in_order_whether_they_are_waited_for_or_not() -> None:
    source = generation()

    def play() -> None:
        for token in range(2000):
            source.put(token)
        source.end()

    reading = asyncio.create_task(read(source))
    thread = threading.Thread(target=play)
    thread.start()
    assert await asyncio.wait_for(reading, 20) == list(range(2000))
    thread.join()


async def test_an_error_comes_after_the_tokens_before_it_and_stays() -> None:
    source = generation()
    source.put(1)
    source.end(EngineError("out of memory"))
    assert await anext(source) == 1
    for _ in range(2):
        with pytest.raises(EngineError, match="out of memory"):
            await anext(source)


async def test_what_has_ended_well_is_not_made_to_fail_afterwards() -> None:
    source = generation()
    source.end()
    source.end(EngineError("the thread is no more"))
    assert await read(source) == []


async def test_a_paused_one_is_resumed_once_there_is_little_left_to_read() -> None:
    sent: list[Cancel | Resume] = []
    source = generation(sent)
    for token in range(Generation.HIGH_WATER):
        assert not source.overfull
        source.put(token)
    assert source.overfull
    source.pause()
    for _ in range(Generation.HIGH_WATER - Generation.LOW_WATER):
        await anext(source)
    assert sent == []
    await anext(source)
    await anext(source)
    assert sent == [Resume(5)]


async def test_closing_waits_until_the_engine_has_let_go() -> None:
    sent: list[Cancel | Resume] = []
    source = generation(sent)
    assert source.begin()
    source.put(1)
    closing = asyncio.create_task(source.aclose())
    await asyncio.sleep(0)
    assert sent == [Cancel(5)]
    source.put(2)
    await asyncio.sleep(0)
    assert not closing.done()
    source.end()
    await asyncio.wait_for(closing, 5)
    assert await read(source) == []
    await source.aclose()
    assert sent == [Cancel(5)]


async def test_one_that_is_closed_before_it_begins_does_not_wait_and_does_not_begin() -> None:
    source = generation()
    await asyncio.wait_for(source.aclose(), 5)
    assert not source.begin()


def test_a_reader_whose_loop_is_gone_is_no_reader_and_harms_nobody() -> None:
    async def give_up() -> Generation:
        source = generation()
        source.begin()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(source), 0.01)
        return source

    source = asyncio.run(give_up())
    source.put(1)
    assert source.closing
