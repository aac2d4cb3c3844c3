"""One model's generations: no token is read twice, each is exact on every path, and what does not fit is refused."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from gptoss_acp import tools, vocabulary
from gptoss_acp.briefing import developer_message
from gptoss_acp.engine import snapshot_files
from gptoss_acp.engine.api import EngineError, PromptTooLongError, Sampling
from gptoss_acp.engine.batch import Batch, Chunk
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Submit
from gptoss_acp.engine.prefill_cost import LONGER, SMALLEST_CHUNK
from gptoss_acp.engine.weights import LoadedModel
from gptoss_acp.harmony.parser import MessageEnded, Parser
from gptoss_acp.ledger import Ledger
from tests.support.stepping import Stage

OVERHEAD = 16
"""Tokens that a model call may read beside what is new in its prompt."""

BYTES_PER_TOKEN = 2048
"""What a token of the bundled model's context takes: keys and values, 2 full layers, 2 heads of 64, in float32."""

WINDOW = 128
"""Tokens that the sliding layers hold; here they take as much memory as the full layers' of as many."""

TOKENS = 28
GREEDY = Sampling(temperature=0, max_tokens=TOKENS)


@dataclass
class Reply:
    prompt: list[int]
    sampled: list[int]
    read: int
    last: MessageEnded | None


@pytest.fixture
def stage(model: LoadedModel) -> Stage:
    return Stage(model)


@pytest.fixture
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a generation pause after few unread tokens."""
    monkeypatch.setattr(Generation, "HIGH_WATER", 6)
    monkeypatch.setattr(Generation, "LOW_WATER", 2)


def conversation() -> Ledger:
    ledger = Ledger()
    text = developer_message.compose(Path("/home/ada/project"), has_tools=True)
    ledger.set_prefix(text, tools.descriptions(), "medium", date(2026, 11, 22))
    return ledger


def user_tokens(text: str) -> int:
    ledger = Ledger()
    ledger.add_user(text)
    return len(ledger.tokens())


def asking(text: str) -> list[int]:
    """Return a prompt that is short, unlike a conversation's."""
    ledger = Ledger()
    ledger.add_user(text)
    return ledger.prompt()


async def reply(stage: Stage, ledger: Ledger, limit: int = 200, stop_after: int | None = None) -> Reply:
    """Run one model call on `ledger` and keep in it what the model says; cancel after `stop_after` tokens."""
    prompt = ledger.prompt()
    generation = stage.submit(prompt, Sampling(max_tokens=limit), (ledger.prefix_length,))
    if stop_after is None:
        (sampled,) = await stage.tokens(generation)
    else:
        sampled = await stage.some(generation, stop_after)
        await generation.aclose()
    parser = Parser()
    events = [*(event for token in sampled for event in parser.feed(token)), *parser.finish()]
    ended = [event for event in events if isinstance(event, MessageEnded)]
    for message in ended:
        ledger.add_sampled(message)
    figures = generation.figures
    return Reply(prompt, sampled, figures.prompt_tokens - figures.cached_tokens, ended[-1] if ended else None)


async def ask(stage: Stage, ledger: Ledger, text: str, **how: Any) -> Reply:
    ledger.add_user(text)
    return await reply(stage, ledger, **how)


def end_turn(stage: Stage, ledger: Ledger) -> None:
    ledger.end_turn()
    stage.scheduler.read_ahead(tuple(ledger.tokens()))
    stage.rest()


async def assert_as_cold(model: LoadedModel, *replies: Reply) -> None:
    """Assert that a model that has read nothing before would have said the same, token for token."""
    for said in replies:
        cold = Stage(model)
        generation = cold.submit(said.prompt, Sampling(max_tokens=len(said.sampled)))
        assert await cold.tokens(generation) == [said.sampled]
        assert generation.figures.cached_tokens == 0


# What need not be read again


async def test_every_turn_reads_only_its_message_and_says_what_a_cold_run_would(
    stage: Stage, model: LoadedModel
) -> None:
    replies = []
    ledger = conversation()
    stage.scheduler.read_ahead(tuple(ledger.tokens()))
    stage.rest()
    for text in ("Hello", "Count to 30", "Thanks"):
        replies.append(await ask(stage, ledger, text))
        assert replies[-1].read <= user_tokens(text) + OVERHEAD
        end_turn(stage, ledger)
    await assert_as_cold(model, *replies)


async def test_after_a_tool_result_only_the_result_is_read(stage: Stage, model: LoadedModel) -> None:
    ledger = conversation()
    call = await ask(stage, ledger, "Read notes/todo.txt")
    assert call.last is not None
    assert call.last.recipient
    before = len(ledger.tokens())
    ledger.add_tool_result(call.last, "L1: buy milk and bread")
    answer = await reply(stage, ledger)
    assert answer.read <= len(ledger.prompt()) - before + OVERHEAD
    await assert_as_cold(model, call, answer)


async def test_a_second_session_shares_what_begins_the_same(stage: Stage, model: LoadedModel) -> None:
    replies = [await ask(stage, conversation(), "Hello"), await ask(stage, conversation(), "Count to 12")]
    assert replies[1].read <= user_tokens("Count to 12") + OVERHEAD
    await assert_as_cold(model, *replies)


async def test_after_a_restart_only_what_is_new_is_read(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_files, "folder", lambda: tmp_path / "prefixes")
    ledger = conversation()
    before, after = Stage(model, disk_gb=1.0), Stage(model, disk_gb=1.0)
    await ask(before, ledger, "Hello")
    end_turn(before, ledger)
    tier = before.scheduler._prefixes._disk
    assert tier is not None
    tier.flush()
    after = Stage(model, disk_gb=1.0)
    said = await ask(after, ledger, "Count to 12")
    assert said.read <= user_tokens("Count to 12") + OVERHEAD
    await assert_as_cold(model, said)
    for one in (before, after):
        one.scheduler.close()


@pytest.mark.parametrize("how", [{"stop_after": 25}, {"limit": 25}], ids=["cancel", "max_tokens"])
async def test_a_turn_cut_short_leaves_a_cache_that_fits(stage: Stage, model: LoadedModel, how: dict[str, int]) -> None:
    ledger = conversation()
    await ask(stage, ledger, "Count to 60", **how)
    end_turn(stage, ledger)
    after = await ask(stage, ledger, "Count to 12")
    assert after.read <= user_tokens("Count to 12") + OVERHEAD
    await assert_as_cold(model, after)


async def test_cancel_in_prefill_leaves_a_cache_that_fits(stage: Stage, model: LoadedModel) -> None:
    ledger = conversation()
    ledger.add_user("word " * 6000)
    generation = stage.submit(ledger.prompt(), Sampling(), (ledger.prefix_length,))
    for _ in range(4):
        stage.scheduler.step()
    await generation.aclose()
    assert generation.figures.generated_tokens == 0
    assert not stage.scheduler.at_work
    ledger.entries.clear()
    await assert_as_cold(model, await ask(stage, ledger, "Count to 12"))


async def test_sessions_that_run_together_each_say_what_they_would_alone(stage: Stage, model: LoadedModel) -> None:
    texts = ("Count to 30", "Hello", "Read notes/todo.txt", "Count to 45")
    together = [stage.submit(asking(text), GREEDY) for text in texts]
    assert await stage.tokens(*together) == [await Stage(model).generated(asking(text), GREEDY) for text in texts]


async def test_eviction_costs_reading_again_and_nothing_else(stage: Stage, model: LoadedModel) -> None:
    ledger = conversation()
    await ask(stage, ledger, "Hello")
    end_turn(stage, ledger)
    stage.scheduler._prefixes.shrink(0)
    after = await ask(stage, ledger, "Count to 12")
    assert after.read == len(after.prompt)
    await assert_as_cold(model, after)


# Memory


async def test_a_conversation_that_fills_nearly_all_of_the_memory_is_not_read_again(model: LoadedModel) -> None:
    stage = Stage(model, 7_000_000)
    ledger = conversation()
    long = await ask(stage, ledger, "word " * 2200, limit=5)
    assert 0.85 < len(long.prompt) / stage.scheduler.context_length < 0.95
    end_turn(stage, ledger)
    assert (await ask(stage, ledger, "Hello", limit=5)).read <= user_tokens("Hello") + OVERHEAD


async def test_a_context_is_as_long_as_one_copy_of_it_goes_into_the_memory_and_the_next_prompt_works(
    model: LoadedModel,
) -> None:
    stage = Stage(model, 20_000_000)
    assert stage.scheduler.context_length == 20_000_000 // BYTES_PER_TOKEN - WINDOW
    with pytest.raises(PromptTooLongError, match=r"10000 tokens, .* holds 9637\..*--memory-gb"):
        stage.submit([300] * 10_000, Sampling())
    assert await stage.generated(asking("Hello"), Sampling())


async def test_a_prompt_that_does_not_fit_beside_another_is_refused_with_figures_until_that_has_ended(
    model: LoadedModel,
) -> None:
    stage = Stage(model, 10_000_000)
    running = stage.submit([300] * 1500, Sampling())
    await stage.some(running, 1)
    with pytest.raises(EngineError, match=r"4000 tokens needs about .* GB .* in use.*--memory-gb"):
        stage.submit([301] * 4000, Sampling())
    await running.aclose()
    assert await stage.some(stage.submit([301] * 4000, Sampling()), 1)


@pytest.mark.usefixtures("small_buffer")
async def test_the_cache_of_a_paused_generation_counts_as_in_use(stage: Stage) -> None:
    free = stage.scheduler._free_memory
    generation = stage.submit(asking("Count to 20"), GREEDY)
    stage.rest()
    stage.scheduler._prefixes.shrink(0)
    assert generation._paused
    assert stage.scheduler._free_memory < free - len(asking("Count to 20")) * BYTES_PER_TOKEN


# A reader that is slow


@pytest.mark.usefixtures("small_buffer")
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=5, top_p=0.999, seed=3, max_tokens=TOKENS)])
async def test_a_paused_generation_goes_on_exactly_where_it_was(
    stage: Stage, model: LoadedModel, sampling: Sampling
) -> None:
    prompt = asking("Tell me a story")
    generation = stage.submit(prompt, sampling)
    tokens: list[int] = []
    for _ in range(3):
        stage.rest()
        assert generation.figures.generated_tokens == len(tokens) + Generation.HIGH_WATER + 1
        tokens += await stage.some(generation, Generation.HIGH_WATER)
    tokens += (await stage.tokens(generation))[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Generation, "HIGH_WATER", 256)
        assert await Stage(model).generated(prompt, sampling) == tokens


@pytest.mark.usefixtures("small_buffer")
async def test_a_generation_that_was_to_pause_at_its_last_token_ends(stage: Stage) -> None:
    generation = stage.submit(asking("Tell me a story"), Sampling(temperature=0, max_tokens=Generation.HIGH_WATER + 1))
    stage.rest()
    assert generation.ended
    assert len([token async for token in generation]) == Generation.HIGH_WATER + 1


@pytest.mark.usefixtures("small_buffer")
async def test_a_paused_generation_does_not_hold_up_the_others(stage: Stage, model: LoadedModel) -> None:
    waiting = stage.submit(asking("Count to 20"), GREEDY)
    stage.rest()
    assert await stage.generated(asking("Hello"), GREEDY) == await Stage(model).generated(asking("Hello"), GREEDY)
    assert (await stage.tokens(waiting))[0] == await Stage(model).generated(asking("Count to 20"), GREEDY)


# Cancelling


@pytest.mark.usefixtures("small_buffer")
async def test_a_paused_generation_can_be_cancelled(stage: Stage) -> None:
    generation = stage.submit(asking("Tell me a story"), GREEDY)
    stage.rest()
    assert stage.scheduler.at_work
    await generation.aclose()
    assert generation.ended
    assert not stage.scheduler.at_work


async def test_one_that_is_closed_before_it_begins_never_does(stage: Stage) -> None:
    generation = Generation(Submit("tiny", 0, (1, 2, 3), GREEDY), lambda _: None)
    await generation.aclose()
    stage.scheduler.submit(generation)
    assert generation.ended
    assert not stage.scheduler.at_work


async def test_what_is_closed_is_let_go_of_at_the_next_step_even_if_the_message_to_do_so_waits(stage: Stage) -> None:
    generation = stage.submit(asking("Count to 20"), GREEDY)
    await stage.some(generation, 2)
    generation.closing = True
    stage.scheduler.step()
    assert generation.ended
    assert not stage.scheduler.at_work


async def test_a_cancelled_prefill_leaves_the_others_tokens_as_they_were(stage: Stage, model: LoadedModel) -> None:
    prompt = asking("Count to 20")
    running = stage.submit(prompt, GREEDY)
    start = await stage.some(running, 3)
    long = stage.submit(asking("word " * 3000), GREEDY)
    start += await stage.some(running, 2)
    await long.aclose()
    assert start + (await stage.tokens(running))[0] == await Stage(model).generated(prompt, GREEDY)
    assert long.figures.generated_tokens == 0


async def test_a_cancel_is_obeyed_in_the_middle_of_a_chunk(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[Chunk | None] = []
    read_on = Batch.read_on
    monkeypatch.setattr(Batch, "read_on", lambda batch, layers: chunks.append(read_on(batch, layers)))
    long = stage.submit(asking("word " * 3000), GREEDY)
    stage.scheduler.step()
    await long.aclose()
    assert chunks == [None]
    assert long.ended
    assert not stage.scheduler.at_work


# Failures


async def test_a_failing_step_ends_what_runs_and_the_next_works(
    stage: Stage, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Batch, _chunk: int) -> Any:
        raise RuntimeError("out of memory")

    running = [stage.submit(asking(text), GREEDY) for text in ("Count to 20", "Hello")]
    await stage.some(running[0], 3)
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "step", fail)
        stage.scheduler.step()
    for generation in running:
        with pytest.raises(EngineError, match="out of memory"):
            await stage.tokens(generation)
    assert not stage.scheduler.busy
    assert await stage.generated(asking("Hello"), GREEDY) == await Stage(model).generated(asking("Hello"), GREEDY)


async def test_a_prompt_that_cannot_start_disturbs_nothing(stage: Stage, model: LoadedModel) -> None:
    running = stage.submit(asking("Hello"), GREEDY)
    with pytest.raises(ValueError, match="has an empty prompt"):
        stage.submit([], GREEDY)
    assert (await stage.tokens(running))[0] == await Stage(model).generated(asking("Hello"), GREEDY)


# How a generation is made


async def test_a_constraint_is_given_to_what_builds_matchers_and_held_to(model: LoadedModel) -> None:
    built: list[tuple[Hashable, list[int]]] = []

    def only(constraint: Hashable, prompt: Sequence[int]) -> Any:
        built.append((constraint, list(prompt)))
        allowed = mx.arange(vocabulary.VOCABULARY_SIZE) == constraint
        return lambda _tokens, logits: mx.where(allowed, logits, -mx.inf)

    stage = Stage(model, build_matcher=only)
    free = stage.submit(asking("Hello"), GREEDY)
    held = stage.submit(asking("Count"), Sampling(temperature=0, max_tokens=5), constraint=777)
    tokens = await stage.tokens(free, held)
    assert built == [(777, asking("Count"))]
    assert tokens == [await Stage(model).generated(asking("Hello"), GREEDY), [777] * 5]


@pytest.mark.parametrize("count", [1, 4, 140])
async def test_prompts_that_are_read_at_once_share_the_time_of_a_chunk_however_many_wait(
    stage: Stage, count: int
) -> None:
    for number in range(count):
        stage.submit([300 + number] * 3000, GREEDY)
    for size in (SMALLEST_CHUNK, LONGER * SMALLEST_CHUNK):
        stage.scheduler.step()
        assert stage.scheduler._batch.chunk_tokens == size
        while stage.scheduler._batch.amid_chunk:
            stage.scheduler._read_on()
    assert not any(generation.ended for generation in stage.generations.values())


async def test_a_generation_tells_what_it_took(stage: Stage) -> None:
    prompt = asking("Count to 20")
    generation = stage.submit(prompt, Sampling(temperature=0, max_tokens=400))
    (tokens,) = await stage.tokens(generation)
    figures = generation.figures
    assert (figures.prompt_tokens, figures.cached_tokens, figures.generated_tokens) == (len(prompt), 0, len(tokens))
    assert tokens[-1] in vocabulary.STOP_IDS
    assert not set(tokens[:-1]) & set(vocabulary.STOP_IDS)
    assert figures.first_token_seconds > 0
    assert figures.tokens_per_second > 0
