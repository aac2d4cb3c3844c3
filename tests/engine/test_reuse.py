"""The engine reads no token twice: counted in prefilled tokens, and exact on every path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp import tools, vocabulary
from gptoss_acp.briefing import developer_message
from gptoss_acp.engine import snapshot_files
from gptoss_acp.engine.api import EngineError, EngineOptions, PromptTooLongError, Sampling
from gptoss_acp.engine.mlx_engine import MlxEngine
from gptoss_acp.harmony.parser import MessageEnded, Parser
from gptoss_acp.ledger import Ledger
from tests.support.waiting import settled

OVERHEAD = 16
"""Tokens that a model call may read beside what is new in its prompt."""

BYTES_PER_TOKEN = 2048
"""What a token of the bundled model's context takes: keys and values, 2 full layers, 2 heads of 64, in float32."""


@dataclass
class Reply:
    prompt: list[int]
    sampled: list[int]
    read: int
    last: MessageEnded | None


@asynccontextmanager
async def running_engine(**options: Any) -> AsyncIterator[MlxEngine]:
    engine = MlxEngine("tiny", EngineOptions(vocabulary.STOP_IDS, (vocabulary.CALL,), **{"disk_gb": 0.0, **options}))
    await engine.load()
    yield engine
    engine.close()


def conversation() -> Ledger:
    ledger = Ledger()
    text = developer_message.compose(Path("/home/ada/project"), has_tools=True)
    ledger.set_prefix(text, tools.descriptions(), "medium", date(2026, 11, 22))
    return ledger


async def reply(engine: MlxEngine, ledger: Ledger, limit: int = 200, stop_after: int | None = None) -> Reply:
    """Run one model call on `ledger` and keep in it what the model says; cancel after `stop_after` tokens."""
    prompt = ledger.prompt()
    generation = engine.generate(prompt, Sampling(max_tokens=limit), (ledger.prefix_length,))
    parser = Parser()
    sampled: list[int] = []
    ended: list[MessageEnded] = []
    async for token in generation:
        sampled.append(token)
        ended += [event for event in parser.feed(token) if isinstance(event, MessageEnded)]
        if len(sampled) == stop_after:
            await generation.aclose()
    ended += [event for event in parser.finish() if isinstance(event, MessageEnded)]
    for message in ended:
        ledger.add_sampled(message)
    figures = generation.figures
    return Reply(prompt, sampled, figures.prompt_tokens - figures.cached_tokens, ended[-1] if ended else None)


async def ask(engine: MlxEngine, ledger: Ledger, text: str, **how: Any) -> Reply:
    ledger.add_user(text)
    return await reply(engine, ledger, **how)


async def end_turn(engine: MlxEngine, ledger: Ledger) -> None:
    ledger.end_turn()
    engine.read_ahead(ledger.tokens())
    await all_read(engine)


async def all_read(engine: MlxEngine) -> None:
    """Return when the engine has nothing left to read ahead."""
    assert engine._scheduler is not None
    quiet = 0
    while quiet < 3:
        await asyncio.sleep(0.02)
        quiet = quiet + 1 if engine._scheduler.idle and engine._worker._commands.empty() else 0


async def assert_as_cold(*replies: Reply) -> None:
    """Assert that an engine that has read nothing before would have said the same, token for token."""
    async with running_engine() as cold:
        for said in replies:
            assert cold._scheduler is not None
            cold._scheduler._prefixes.shrink(0)
            generation = cold.generate(said.prompt, Sampling(max_tokens=len(said.sampled)))
            assert [token async for token in generation] == said.sampled
            assert generation.figures.cached_tokens == 0


def user_tokens(text: str) -> int:
    ledger = Ledger()
    ledger.add_user(text)
    return len(ledger.tokens())


def test_every_turn_reads_only_its_message_and_says_what_a_cold_run_would() -> None:
    async def talk() -> None:
        replies = []
        async with running_engine() as engine:
            ledger = conversation()
            engine.read_ahead(ledger.tokens())
            await all_read(engine)
            for text in ("Hello", "Count to 30", "Thanks"):
                replies.append(await ask(engine, ledger, text))
                assert replies[-1].read <= user_tokens(text) + OVERHEAD
                await end_turn(engine, ledger)
        await assert_as_cold(*replies)

    asyncio.run(talk())


def test_after_a_tool_result_only_the_result_is_read() -> None:
    async def talk() -> None:
        async with running_engine() as engine:
            ledger = conversation()
            call = await ask(engine, ledger, "Read notes/todo.txt")
            assert call.last is not None
            assert call.last.recipient
            before = len(ledger.tokens())
            ledger.add_tool_result(call.last, "L1: buy milk and bread")
            answer = await reply(engine, ledger)
            assert answer.read <= len(ledger.prompt()) - before + OVERHEAD
        await assert_as_cold(call, answer)

    asyncio.run(talk())


def test_a_second_session_shares_what_begins_the_same() -> None:
    async def talk() -> None:
        async with running_engine() as engine:
            first, second = conversation(), conversation()
            replies = [await ask(engine, first, "Hello"), await ask(engine, second, "Count to 12")]
            assert replies[1].read <= user_tokens("Count to 12") + OVERHEAD
        await assert_as_cold(*replies)

    asyncio.run(talk())


def test_a_restarted_engine_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_files, "folder", lambda: tmp_path / "prefixes")

    async def before(ledger: Ledger) -> None:
        async with running_engine(disk_gb=1.0) as engine:
            await ask(engine, ledger, "Hello")
            await end_turn(engine, ledger)
            assert engine._scheduler is not None
            tier = engine._scheduler._prefixes._disk
            assert tier is not None
            await asyncio.to_thread(tier.flush)

    async def after(ledger: Ledger) -> None:
        async with running_engine(disk_gb=1.0) as engine:
            said = await ask(engine, ledger, "Count to 12")
            assert said.read <= user_tokens("Count to 12") + OVERHEAD
        await assert_as_cold(said)

    ledger = conversation()
    asyncio.run(before(ledger))
    asyncio.run(after(ledger))


def test_a_prompt_goes_on_from_where_reading_ahead_was_interrupted() -> None:
    async def talk() -> None:
        async with running_engine() as engine:
            ledger = conversation()
            ledger.add_user("word " * 2500)
            engine.read_ahead(ledger.tokens())
            assert engine._scheduler is not None
            scheduler = engine._scheduler
            await settled(lambda: scheduler._ahead is not None and any(job.done > 900 for job in scheduler._ahead.jobs))
            said = await ask(engine, ledger, "Hello", limit=20)
            assert 0 < said.read <= len(said.prompt) - 900
        await assert_as_cold(said)

    asyncio.run(talk())


@pytest.mark.parametrize("how", [{"stop_after": 25}, {"limit": 25}], ids=["cancel", "max_tokens"])
def test_a_turn_cut_short_leaves_a_cache_that_fits(how: dict[str, int]) -> None:
    async def talk() -> None:
        async with running_engine() as engine:
            ledger = conversation()
            await ask(engine, ledger, "Count to 60", **how)
            await end_turn(engine, ledger)
            after = await ask(engine, ledger, "Count to 12")
            assert after.read <= user_tokens("Count to 12") + OVERHEAD
        await assert_as_cold(after)

    asyncio.run(talk())


def test_cancel_in_prefill_leaves_a_cache_that_fits() -> None:
    async def talk() -> None:
        async with running_engine() as engine:
            ledger = conversation()
            ledger.add_user("word " * 6000)
            generation = engine.generate(ledger.prompt(), Sampling(), (ledger.prefix_length,))
            await asyncio.sleep(1.0)
            await generation.aclose()
            assert generation.figures.generated_tokens == 0
            ledger.entries.clear()
            after = await ask(engine, ledger, "Count to 12")
        await assert_as_cold(after)

    asyncio.run(talk())


def test_sessions_that_run_together_each_say_what_they_would_alone() -> None:
    async def talk() -> None:
        async with running_engine() as engine:
            ledgers = [conversation() for _ in range(4)]
            texts = ("Count to 30", "Hello", "Read notes/todo.txt", "Count to 45")
            replies = await asyncio.gather(
                *(ask(engine, ledger, text) for ledger, text in zip(ledgers, texts, strict=True))
            )
        await assert_as_cold(*replies)

    asyncio.run(talk())


def test_eviction_costs_reading_again_and_nothing_else() -> None:
    async def talk() -> None:
        async with running_engine() as engine:
            ledger = conversation()
            await ask(engine, ledger, "Hello")
            await end_turn(engine, ledger)
            assert engine._scheduler is not None
            engine._scheduler._prefixes.shrink(0)
            after = await ask(engine, ledger, "Count to 12")
            assert after.read == len(after.prompt)
        await assert_as_cold(after)

    asyncio.run(talk())


def test_a_conversation_that_fills_nearly_half_of_the_memory_is_not_read_again() -> None:
    async def talk() -> None:
        async with running_engine(memory_gb=0.0136) as engine:
            ledger = conversation()
            long = await ask(engine, ledger, "word " * 2200, limit=5)
            assert 0.4 < len(long.prompt) / (2 * engine.context_length) < 0.46
            await end_turn(engine, ledger)
            assert (await ask(engine, ledger, "Hello", limit=5)).read <= user_tokens("Hello") + OVERHEAD

    asyncio.run(talk())


def test_a_context_is_no_longer_than_the_memory_and_the_next_prompt_works() -> None:
    async def talk() -> None:
        async with running_engine(memory_gb=0.02) as engine:
            assert engine.context_length == 20_000_000 // (2 * BYTES_PER_TOKEN)
            with pytest.raises(PromptTooLongError, match=r"6000 tokens, .* holds 4882\..*--memory-gb"):
                engine.generate([300] * 6000, Sampling())
            said = await ask(engine, conversation(), "Hello")
            assert said.last is not None

    asyncio.run(talk())


def test_a_prompt_that_does_not_fit_beside_another_is_refused_with_figures_until_that_has_ended() -> None:
    async def talk() -> None:
        async with running_engine(memory_gb=0.02) as engine:
            running = engine.generate([300] * 3000, Sampling())
            await anext(running)
            with pytest.raises(EngineError, match=r"4000 tokens needs about .* GB .* in use.*--memory-gb"):
                await anext(engine.generate([301] * 4000, Sampling()))
            await running.aclose()
            assert await anext(engine.generate([301] * 4000, Sampling()))

    asyncio.run(talk())


def test_an_idle_model_is_unloaded_and_comes_back_on_demand() -> None:
    async def talk() -> None:
        async with running_engine(idle_minutes=0.3 / 60) as engine:
            assert engine._scheduler is not None
            ledger = conversation()
            first = await ask(engine, ledger, "Hello")
            for _ in range(200):
                await asyncio.sleep(0.05)
                if not engine._scheduler.loaded:
                    break
            assert not engine._scheduler.loaded
            ledger.entries.clear()
            assert (await ask(engine, ledger, "Hello")).sampled == first.sampled

    asyncio.run(talk())
