"""What the agent asks the model for its own use: only an answer on `final` counts, and nothing is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from gptoss_acp.conversation import ask_model
from gptoss_acp.engine.api import EngineError, Sampling, Trace, Usage
from gptoss_acp.harmony import encoding, render
from gptoss_acp.ledger import Ledger
from gptoss_acp.vocabulary import RETURN
from tests.support.fake_engine import FakeEngine
from tests.support.tokens import final, preamble, said, text_of, thought, tool_call

PROMPT = render.user("Summarise")


async def play(engine: FakeEngine, tokens: Sequence[int]) -> None:
    """Let the engine's one generation sample `tokens`."""
    generation = await engine.generation(0)
    for token in tokens:
        generation.figures.generated_tokens += 1
        generation.put(token)
    generation.end()


async def answer(tokens: Sequence[int], given: Sequence[int] = ()) -> str:
    """Return what a model that samples `tokens` is heard to answer."""
    engine = FakeEngine()
    asking = ask_model.answer(engine, PROMPT, Sampling(), Usage(), given=given, branch=1)
    text, _ = await asyncio.gather(asking, play(engine, tokens))
    assert engine.generations[0]._ended
    return text


@pytest.mark.parametrize(
    ("tokens", "heard"),
    [
        (said(thought("Hm."), final("Yes.")), "Yes."),
        (said(preamble("I look."), final("Yes.")), "Yes."),
        (final("Yes, and more")[:-1], "Yes, and more"),
        (tool_call("functions.x", "{}"), ""),
        (said(thought("Hm."), tool_call("functions.x", "{}")), ""),
        (thought("Only a thought."), ""),
        (thought("Half a thou")[:-1], ""),
        (said(thought("and on we go, " * 1000), final("Yes.")), ""),
        ([], ""),
    ],
)
async def test_only_what_is_said_on_final_is_the_answer(tokens: list[int], heard: str) -> None:
    assert await answer(tokens) == heard


async def test_what_is_put_in_the_models_mouth_begins_its_answer() -> None:
    assert await answer([*encoding.encode_text("Yes."), RETURN], given=render.FINAL_START) == "Yes."


async def test_the_call_is_counted_and_traced() -> None:
    engine, usage = FakeEngine(), Usage()
    prompts: list[list[int]] = []
    tokens: list[int] = []
    trace = cast(Trace, SimpleNamespace(prompt=prompts.append, token=tokens.append))
    asking = ask_model.answer(engine, PROMPT, Sampling(), usage, given=render.FINAL_START, branch=1, trace=trace)
    await asyncio.gather(asking, play(engine, [*encoding.encode_text("Yes."), RETURN]))
    assert prompts == [list(engine.generations[0].request.prompt)] == [[*PROMPT, *render.FINAL_START]]
    assert tokens == [*encoding.encode_text("Yes."), RETURN]
    assert usage.output_tokens == len(tokens)


async def test_cancelling_ends_the_generation_and_counts_it() -> None:
    engine, usage = FakeEngine(), Usage()
    asking = asyncio.create_task(ask_model.answer(engine, PROMPT, Sampling(), usage, branch=1))
    generation = await engine.generation(0)
    generation.figures.generated_tokens = 3
    generation.put(thought("Hm.")[0])
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    assert generation._ended
    assert usage.output_tokens == 3


async def test_an_engine_that_fails_is_an_error() -> None:
    engine = FakeEngine()
    asking = asyncio.create_task(ask_model.answer(engine, PROMPT, Sampling(), Usage(), branch=1))
    (await engine.generation(0)).end(EngineError("out of memory"))
    with pytest.raises(EngineError, match="out of memory"):
        await asking


# Titles


@pytest.mark.parametrize(
    ("written", "title"),
    [
        (' "**Mending the parser.**"\nmore', "Mending the parser"),
        ("# A heading", "A heading"),
        ("\u201eGrüße\u201c", "Grüße"),
        ("  two   words  ", "two words"),
        ("word " * 20, "word " * 15 + "word…"),
        (' "" ', ""),
    ],
)
async def test_a_title_is_one_short_line_without_what_models_put_around_it(written: str, title: str) -> None:
    engine, ledger = FakeEngine(), Ledger()
    ledger.add_user("Mend the parser")
    asking = ask_model.title(engine, ledger, Sampling(temperature=0.5), None)
    found, _ = await asyncio.gather(asking, play(engine, [*encoding.encode_text(written), RETURN]))
    assert found == title
    assert len(found) <= ask_model.LONGEST_TITLE
    (generation,) = engine.generations
    assert list(generation.request.prompt)[: ledger.length] == ledger.tokens()
    assert text_of(generation.request.prompt).endswith("<|start|>assistant<|channel|>final<|message|>")
    assert generation.request.sampling == Sampling(temperature=0.5, max_tokens=24)
