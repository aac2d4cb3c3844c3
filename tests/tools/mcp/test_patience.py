"""How long a server is waited for: not beyond its time, but however long the user takes."""

from __future__ import annotations

import asyncio

import pytest

from gptoss_acp.tools.mcp.patience import Patience

SHORT = 0.01


async def test_what_takes_too_long_is_given_up() -> None:
    async def call() -> None:
        async with Patience().of(SHORT):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await call()


async def test_while_the_user_is_asked_no_time_passes_and_then_it_begins_anew() -> None:
    patience, answers = Patience(), 0

    async def call() -> None:
        nonlocal answers
        async with patience.of(SHORT):
            with patience.without_end():
                with patience.without_end():
                    await asyncio.sleep(5 * SHORT)
                answers += 1
                await asyncio.sleep(5 * SHORT)
            answers += 1
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await call()
    assert answers == 2


async def test_a_question_may_outlast_the_waiting() -> None:
    patience = Patience()
    with patience.without_end():
        async with patience.of(60):
            pass
    async with patience.of(60):
        pass
