"""Sessions and turns over an engine that says what the test puts in: the order of prompts, and how each one ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from gptoss_acp.engine.api import EngineError, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.scripted import ScriptedEngine
from gptoss_acp.harmony import encoding
from gptoss_acp.session import Session
from gptoss_acp.settings import Settings
from gptoss_acp.vocabulary import RETURN
from gptoss_acp.workspace import process
from tests.support.desk import Desk, new_journal, stores
from tests.support.fake_engine import FakeEngine
from tests.support.project import write
from tests.support.stage import Stage, finished
from tests.support.tokens import final, message, numbers, preamble, said, text_of, thought, tool_call
from tests.support.waiting import settled

SLOW_STOP = 3.0
"""Longer than any test takes to look at what happens before the engine has stopped."""


# One turn


async def test_only_what_is_meant_for_the_user_is_shown() -> None:
    stage = Stage()
    first = said(thought("secret plan"), preamble("Let me look."), tool_call("functions.read", '{"path":"secret"}'))
    outcome = await stage.converse("Hi", first, said(thought("secret doubt"), final("Hello, you.")))
    assert outcome.stop_reason == "end_turn"
    assert stage.updates.text == "Let me look.Hello, you."
    shown = [text for _, text in stage.updates.chunks]
    assert not [text for text in shown if "secret" in text or "<|" in text]


async def test_every_token_is_a_chunk_and_every_message_has_an_id_of_its_own() -> None:
    stage = Stage()
    await stage.converse("Hi", said(preamble("One two three."), tool_call("f", "{}")), final("Four five."))
    assert [text for _, text in stage.updates.chunks] == ["One", " two", " three", ".", "Four", " five", "."]
    ids = [identifier for identifier, _ in stage.updates.chunks]
    assert len(set(ids[:4])) == len(set(ids[4:])) == 1
    assert ids[0] != ids[4]


async def test_a_chunk_is_shown_before_the_next_token_is_sampled() -> None:
    stage = Stage()
    turn = stage.prompt("Hi")
    header, content = final("One two")[:3], final("One two")[3:-1]
    await stage.say(0, header, end=False)
    for count, token in enumerate(content, 1):
        await stage.say(0, [token], end=False)
        await asyncio.sleep(0)
        assert stage.updates.text == text_of(content[:count])
    await stage.say(0, [RETURN])
    await finished(turn)


async def test_a_character_of_several_tokens_waits_for_its_last() -> None:
    stage = Stage()
    await stage.converse("Hi", final("a🫠b"))
    assert stage.updates.text == "a🫠b"
    assert not [text for _, text in stage.updates.chunks if "\ufffd" in text]


async def test_a_tool_call_is_answered_with_an_error_that_the_model_reads() -> None:
    stage = Stage()
    outcome = await stage.converse(
        "Read it", said(tool_call("functions.read_file", '{"path":"a"}')), final("I cannot.")
    )
    assert outcome.stop_reason == "end_turn"
    second = stage.engine.prompt_text(1)
    result = second.split("<|call|>")[1]
    assert result.startswith("<|start|>functions.read_file to=assistant<|channel|>commentary<|message|>Error:")
    assert "no such file or directory: a" in result.split("<|message|>")[1]
    assert result.endswith("<|end|><|start|>assistant")


@pytest.mark.parametrize("header", ["analysis to=functions.shell", "final to=functions.shell"])
async def test_a_tool_call_on_any_channel_is_a_tool_call_and_not_shown(header: str) -> None:
    stage = Stage()
    outcome = await stage.converse("Hi", message(header, '{"hidden":1}', RETURN), final("Done."))
    assert outcome.stop_reason == "end_turn"
    assert stage.updates.text == "Done."


async def test_tool_calls_without_end_stop_at_the_limit_of_model_calls() -> None:
    stage = Stage(max_turn_requests=3)
    outcome = await stage.converse("Go", *[tool_call("f", "{}")] * 3)
    assert outcome.stop_reason == "max_turn_requests"
    assert len(stage.engine.generations) == 3
    assert (await stage.converse("Again", final("Yes."))).stop_reason == "end_turn"


async def test_an_answer_cut_short_by_the_token_limit_says_so_and_stays_in_the_conversation() -> None:
    stage = Stage(max_tokens=5)
    outcome = await stage.converse("Tell me", final("Once upon a time there was")[:5])
    assert outcome.stop_reason == "max_tokens"
    assert stage.engine.generations[0].request.sampling.max_tokens == 5
    await stage.converse("Go on", final("a fox."))
    assert "<|channel|>final<|message|>Once upon<|end|><|start|>user" in stage.engine.prompt_text(1)


@pytest.mark.parametrize("cut", [0, 1, 2, 4])
async def test_output_that_ends_before_any_answer_is_cut_short(cut: int) -> None:
    stage = Stage()
    assert (await stage.converse("Hi", thought("thinking")[:cut])).stop_reason == "max_tokens"


async def test_settings_reach_the_sampling() -> None:
    stage = Stage(temperature=0.5, top_p=0.9, seed=3, max_tokens=9)
    await stage.converse("Hi", final("Yo"))
    assert stage.engine.generations[0].request.sampling == Sampling(0.5, 0.9, 3, 9)


async def test_usage_counts_every_model_call_of_the_turn() -> None:
    stage = Stage()
    reasoning = thought("hm well")
    calls = [said(reasoning, tool_call("f", "{}")), said(final("Done."))]
    outcome = await stage.converse("Go", *calls)
    prompts = [len(generation.request.prompt) for generation in stage.engine.generations]
    assert outcome.input_tokens == sum(prompts)
    assert outcome.output_tokens == sum(len(call) for call in calls)
    assert len(reasoning) <= outcome.thought_tokens < len(calls[0])
    assert outcome.first_token_seconds is not None
    assert outcome.first_visible_seconds is not None
    assert outcome.first_token_seconds <= outcome.first_visible_seconds
    generated = (prompts[1] + len(calls[1]), stage.engine.context_length)
    kept = (stage.session.journal.ledger.length, stage.engine.context_length)
    assert stage.updates.usages[-2:] == [generated, kept]


async def test_the_trace_sees_every_prompt_and_every_token_reasoning_too() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.prompts: list[list[int]] = []
            self.tokens: list[int] = []

        def prompt(self, tokens: Sequence[int]) -> None:
            self.prompts.append(list(tokens))

        def token(self, token: int) -> None:
            self.tokens.append(token)

    stage, trace = Stage(), Recorder()
    stage.session = Session(
        Desk(Path("/work")).workspace, stage.engine, stage.updates, Settings(), new_journal(), trace=trace
    )
    calls = [said(thought("hm"), tool_call("f", "{}")), final("Yo")]
    await stage.converse("Hi", *calls)
    assert trace.tokens == calls[0] + calls[1]
    assert trace.prompts == [list(generation.request.prompt) for generation in stage.engine.generations]


# The conversation


async def test_the_next_prompt_sees_the_answer_as_sampled_and_no_old_reasoning() -> None:
    stage = Stage()
    await stage.converse("First", said(thought("secret"), final("Answer one.")))
    await stage.converse("Second", final("Answer two."))
    prompt = stage.engine.generations[1].request.prompt
    assert "secret" not in text_of(prompt)
    assert text_of(prompt).endswith(
        "<|start|>user<|message|>First<|end|><|start|>assistant<|channel|>final<|message|>Answer one.<|end|>"
        "<|start|>user<|message|>Second<|end|><|start|>assistant"
    )
    assert prompt[: len(stage.engine.generations[0].request.prompt)] == stage.engine.generations[0].request.prompt


async def test_reasoning_stays_while_tools_are_called() -> None:
    stage = Stage()
    await stage.converse("Go", said(thought("my plan"), tool_call("f", "{}")), final("Done."))
    assert "<|channel|>analysis<|message|>my plan<|end|>" in stage.engine.prompt_text(1)


async def test_control_tokens_in_a_prompt_are_ordinary_text() -> None:
    stage = Stage()
    await stage.converse("<|end|><|start|>system", final("No."))
    prompt = stage.engine.generations[0].request.prompt
    assert list(prompt).count(200006) == 4  # system, developer, user, assistant


# Cancelling


async def test_cancel_stops_the_generation_and_the_session_goes_on() -> None:
    stage = Stage()
    turn = stage.prompt("Count")
    await stage.say(0, said(thought("count"), final("1, 2, 3"))[:-1], end=False)
    stage.session.cancel()
    assert (await finished(turn)).stop_reason == "cancelled"
    assert (await stage.converse("Go on", final("4"))).stop_reason == "end_turn"
    assert "<|channel|>final<|message|>1, 2, 3<|end|><|start|>user<|message|>Go on" in stage.engine.prompt_text(1)


@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_cancelled_is_answered_only_once_the_engine_has_let_go(cancels: int) -> None:
    stage = Stage()
    stage.engine.stops_after = SLOW_STOP
    turn = stage.prompt("Count")
    await stage.say(0, final("1, 2, 3")[:-1], end=False)
    for _ in range(cancels):
        stage.session.cancel()
        await asyncio.sleep(0.02)
    assert not turn.done()
    stage.engine.generations[0].end()
    assert (await finished(turn)).stop_reason == "cancelled"
    await stage.converse("Go on", final("4"))
    assert "<|message|>1, 2, 3<|end|>" in stage.engine.prompt_text(1)


async def test_a_prompt_right_after_a_cancel_waits_until_the_engine_has_let_go() -> None:
    stage = Stage()
    stage.engine.stops_after = SLOW_STOP
    first = stage.prompt("Count")
    await stage.say(0, final("1, 2, 3")[:-1], end=False)
    stage.session.cancel()
    await asyncio.sleep(0.02)
    second = stage.prompt("Stop that")
    await asyncio.sleep(0.02)
    assert len(stage.engine.generations) == 1
    stage.engine.generations[0].end()
    assert (await finished(first)).stop_reason == "cancelled"
    await stage.say(1, final("Stopped."))
    assert (await finished(second)).stop_reason == "end_turn"
    assert "<|message|>1, 2, 3<|end|>" in stage.engine.prompt_text(1)


async def test_nothing_is_shown_after_a_cancelled_turn() -> None:
    stage = Stage()
    stage.engine.stops_after = SLOW_STOP
    turn = stage.prompt("Count")
    await stage.say(0, final("1, 2, 3")[:-1], end=False)
    stage.session.cancel()
    await asyncio.sleep(0.01)
    for token in final(" 4, 5, 6")[3:]:
        stage.engine.generations[0].put(token)
    stage.engine.generations[0].end()
    await finished(turn)
    shown, used = list(stage.updates.chunks), list(stage.updates.usages)
    await asyncio.sleep(0.02)
    assert stage.updates.text == "1, 2, 3"
    assert (stage.updates.chunks, stage.updates.usages) == (shown, used)


async def test_cancel_in_the_middle_of_thought_leaves_no_half_thought_behind() -> None:
    stage = Stage()
    turn = stage.prompt("Think")
    await stage.say(0, thought("half a thou")[:-1], end=False)
    stage.session.cancel()
    assert (await finished(turn)).stop_reason == "cancelled"
    await stage.converse("Go on", final("Yes."))
    assert "half" not in stage.engine.prompt_text(1)


async def test_a_cancel_counts_while_a_command_is_ended_that_took_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 2.0)
    stubborn = "trap 'touch asked' TERM; while :; do sleep 0.01; done"
    arguments = {"command": ["sh", "-c", stubborn], "workdir": str(tmp_path), "timeout": 1}
    stage = Stage(mode="full-access")
    turn = stage.prompt("Run it")
    await stage.say(0, tool_call("functions.shell", json.dumps(arguments)), end=True)
    await settled((tmp_path / "asked").exists)
    stage.session.cancel()
    assert (await finished(turn)).stop_reason == "cancelled"
    assert len(stage.engine.generations) == 1


async def test_cancel_without_a_turn_does_not_cancel_the_next() -> None:
    stage = Stage()
    stage.session.cancel()
    assert (await stage.converse("Hi", final("Yo"))).stop_reason == "end_turn"
    stage.session.cancel()
    assert (await stage.converse("Hi", final("Yo"))).stop_reason == "end_turn"


async def test_cancel_before_the_turn_has_begun_is_a_cancelled_turn() -> None:
    stage = Stage()
    turn = stage.prompt("Hi")
    await asyncio.sleep(0)
    stage.session.cancel()
    assert (await finished(turn)).stop_reason == "cancelled"
    assert (await stage.converse("Again", final("Yo"))).stop_reason == "end_turn"


async def test_a_second_prompt_cancels_the_first_and_both_answer_in_order() -> None:
    stage = Stage()
    order: list[str] = []
    first, second = stage.prompt("First"), stage.prompt("Second")
    first.add_done_callback(lambda _: order.append("first"))
    second.add_done_callback(lambda _: order.append("second"))
    await stage.say(0, final("Heard."))
    outcomes = [(await finished(turn)).stop_reason for turn in (first, second)]
    assert outcomes == ["cancelled", "end_turn"]
    assert order == ["first", "second"]


async def test_a_prompt_during_a_generation_cancels_it_and_then_runs() -> None:
    stage = Stage()
    first = stage.prompt("First")
    await stage.say(0, final("One two")[:-1], end=False)
    second = stage.prompt("Second")
    assert (await finished(first)).stop_reason == "cancelled"
    await stage.say(1, final("Heard."))
    assert (await finished(second)).stop_reason == "end_turn"
    assert stage.updates.text == "One twoHeard."


async def test_what_was_said_in_prompts_that_never_ran_is_heard_with_the_next() -> None:
    stage = Stage()
    stage.engine.stops_after = SLOW_STOP
    turns = [stage.prompt("one")]
    await stage.engine.generation(0)
    turns += [stage.prompt("two"), stage.prompt("three"), stage.prompt("four")]
    await asyncio.sleep(0.02)
    stage.engine.generations[0].end()
    await stage.say(1, final("All heard."))
    outcomes = [(await finished(turn)).stop_reason for turn in turns]
    assert outcomes == ["cancelled", "cancelled", "cancelled", "end_turn"]
    said_by_user = [part.split("<|end|>")[0] for part in stage.engine.prompt_text(1).split("<|start|>user<|message|>")]
    assert said_by_user[1:] == ["one", "two", "three", "four"]


async def test_a_command_from_a_file_stands_for_its_text_among_what_the_editor_adds(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    write(tmp_path / ".agents/commands/review.md", "Review $ARGUMENTS.")
    turn = asyncio.create_task(stage.session.prompt("<open>a.py</open>\n\n/review it\n\n<end>", own="/review it"))
    await stage.say(0, final("Done."))
    assert (await finished(turn)).stop_reason == "end_turn"
    assert "<|message|><open>a.py</open>\n\nReview it.\n\n<end><|end|>" in stage.engine.prompt_text(0)
    assert stage.updates.titles == ["/review it"]


async def test_a_command_from_a_file_that_was_cancelled_before_it_began_is_told_as_it_was_typed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    write(tmp_path / ".agents/commands/review.md", "Review $ARGUMENTS.")
    turns = [stage.prompt("First")]
    await stage.engine.generation(0)
    turns += [stage.prompt(text) for text in ("/review it", "/review", "Last")]
    await stage.say(1, final("Done."))
    ended = [(await finished(turn)).stop_reason for turn in turns]
    assert ended == ["cancelled", "cancelled", "cancelled", "end_turn"]
    told = "".join(f"<|start|>user<|message|>{text}<|end|>" for text in ("First", "/review it", "Last"))
    assert stage.engine.prompt_text(1).endswith(f"{told}<|start|>assistant")


async def test_a_command_does_not_overtake_the_prompt_before_it() -> None:
    stage = Stage()
    await stage.converse("Hi", final("Hello."))
    turns = [stage.prompt("Remember the number seven."), stage.prompt("/clear")]
    assert [(await finished(turn)).stop_reason for turn in turns] == ["cancelled", "end_turn"]
    await stage.converse("What number?", final("None."))
    assert "seven" not in stage.engine.prompt_text(-1)


async def test_a_prompt_that_waits_when_its_session_closes_is_stored() -> None:
    stage = Stage()
    stage.engine.stops_after = SLOW_STOP
    turns = [stage.prompt("one")]
    await stage.engine.generation(0)
    turns += [stage.prompt("a long one " * 10_000)]
    closing = asyncio.create_task(stage.session.close())
    await asyncio.sleep(0.02)
    stage.engine.generations[0].end()
    await asyncio.wait_for(closing, 5)
    assert [(await finished(turn)).stop_reason for turn in turns] == ["cancelled", "cancelled"]
    stored = await stores().open(stage.session.id)
    assert [entry.text[:10] for entry in stored.entries if entry.role == "user"] == ["one", "a long one"]
    await stored.close()


async def test_a_session_that_is_over_takes_no_more_work() -> None:
    stage = Stage()
    await stage.session.close()
    begun: list[int] = []

    async def work() -> None:
        begun.append(1)

    assert stage.session.spawn(work(), "never") is None
    await asyncio.sleep(0)
    assert begun == []


async def test_cancel_also_stops_the_prompts_that_wait() -> None:
    stage = Stage()
    stage.engine.stops_after = SLOW_STOP
    first = stage.prompt("one")
    await stage.engine.generation(0)
    second = stage.prompt("two")
    await asyncio.sleep(0.01)
    stage.session.cancel()
    await asyncio.sleep(0.01)
    stage.engine.generations[0].end()
    assert [(await finished(turn)).stop_reason for turn in (first, second)] == ["cancelled", "cancelled"]
    assert len(stage.engine.generations) == 1


@pytest.mark.parametrize("cancels", [1, 2])
async def test_a_cancelled_caller_returns_only_when_the_turn_has_stopped(cancels: int) -> None:
    stage = Stage()
    stage.engine.stops_after = SLOW_STOP
    turn = stage.prompt("Hi")
    await stage.say(0, final("One two")[:-1], end=False)
    for _ in range(cancels):
        turn.cancel()
        await asyncio.sleep(0.02)
    assert not turn.done()
    stage.engine.generations[0].end()
    with pytest.raises(asyncio.CancelledError):
        await finished(turn)
    assert (await stage.converse("Again", final("Yo"))).stop_reason == "end_turn"


# Failures


async def test_a_failing_engine_fails_one_prompt_and_the_next_works() -> None:
    stage = Stage()
    turn = stage.prompt("Hi")
    generation = await stage.engine.generation(0)
    generation.end(EngineError("out of memory"))
    with pytest.raises(EngineError, match="out of memory"):
        await finished(turn)
    assert (await stage.converse("Again", final("Yo"))).stop_reason == "end_turn"


async def test_what_was_shown_before_a_failure_stays_in_the_conversation() -> None:
    stage = Stage()
    turn = stage.prompt("Hi")
    await stage.say(0, final("One two")[:-1], end=False)
    stage.engine.generations[0].end(EngineError("out of memory"))
    with pytest.raises(EngineError):
        await finished(turn)
    await stage.converse("Again", final("Yo"))
    assert "<|message|>One two<|end|>" in stage.engine.prompt_text(1)


async def test_a_model_that_cannot_be_loaded_fails_the_prompt_and_is_tried_again() -> None:
    stage = Stage()
    stage.engine.load_failure = EngineError("no such file")
    with pytest.raises(EngineError, match="no such file"):
        await stage.converse("Hi")
    stage.engine.load_failure = None
    assert (await stage.converse("Hi", final("Yo"))).stop_reason == "end_turn"


# The scripted engine, which other tests stand on


async def test_a_client_that_does_not_read_stops_the_engine(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    tokens = said(final(numbers(5000)))
    script.write_text(json.dumps({"generations": [tokens]}))
    engine = ScriptedEngine(script)
    generation = engine.generate([1], Sampling())
    await settled(lambda: generation.overfull)
    await asyncio.sleep(0.05)
    assert generation.figures.generated_tokens <= Generation.HIGH_WATER
    assert [token async for token in generation] == tokens


# Titles


def titled(text: str) -> list[int]:
    return [*encoding.encode_text(text), RETURN]


async def test_the_model_names_the_session_once_after_its_first_answer() -> None:
    stage = Stage(titles="on")
    await stage.converse("Fix the  parser, please", said(thought("Hm."), final("Fixed.")))
    assert stage.updates.titles == ["Fix the parser, please"]
    await stage.say(1, titled(' "**Mending the parser.**"\nmore'))
    await settled(lambda: len(stage.updates.titles) == 2)
    assert stage.updates.titles[1] == "Mending the parser"
    assert stage.engine.prompt_text(1).endswith("title alone.<|end|><|start|>assistant<|channel|>final<|message|>")
    assert stage.engine.generations[1].request.sampling.max_tokens == 24
    await stage.converse("And now?", final("Done."))
    assert len(stage.engine.generations) == 3
    assert "title" not in stage.engine.prompt_text(2)
    assert stage.updates.text == "Fixed.Done."


async def test_notes_of_the_editors_are_neither_a_title_nor_before_a_command() -> None:
    stage = Stage()
    note = "<context>zsh</context>\n\n"
    await finished(asyncio.create_task(stage.session.prompt(f"{note}/mode", own="/mode")))
    assert "The mode is ask." in stage.updates.text
    turn = asyncio.create_task(stage.session.prompt(f"{note}Fix it", own="Fix it"))
    await stage.say(0, final("Fixed."))
    await finished(turn)
    assert stage.updates.titles == ["Fix it"]
    assert f"{note}Fix it" in stage.engine.prompt_text(0)


async def test_a_prompt_stops_the_search_for_a_title_which_is_taken_up_after_it() -> None:
    stage = Stage(titles="on")
    await stage.converse("Hi", final("Hello."))
    await stage.say(1, titled("A title that")[:-1], end=False)
    second = stage.prompt("Count")
    await stage.say(2, final("1, 2"))
    assert (await finished(second)).stop_reason == "end_turn"
    assert stage.engine.generations[1]._ended
    await stage.say(3, titled("Counting"))
    await settled(lambda: stage.updates.titles == ["Hi", "Counting"])


async def test_closing_a_session_stops_the_search_for_a_title() -> None:
    stage = Stage(titles="on")
    await stage.converse("Hi", final("Hello."))
    generation = await stage.engine.generation(1)
    await asyncio.wait_for(stage.session.close(), 5)
    assert generation._ended
    assert stage.updates.titles == ["Hi"]


async def test_closing_a_session_ends_the_work_in_its_background() -> None:
    stage = Stage()
    loading = asyncio.Event()
    ended = asyncio.Event()

    async def load_for_ever() -> None:
        loading.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    stage.engine.load = load_for_ever  # type: ignore[method-assign]
    stage.session.prepare()
    await loading.wait()
    await asyncio.wait_for(stage.session.close(), 5)
    assert ended.is_set()


async def test_status_counts_what_the_client_was_told_last() -> None:
    stage = Stage()
    await stage.converse("Go", said(thought("hm well"), final("Done.")))
    used, size = stage.updates.usages[-1]
    await stage.session.prompt("/status")
    assert f"Context: {used:,} of {size:,} tokens used" in stage.updates.text


async def test_after_a_switch_the_status_is_of_the_model_that_answers_next() -> None:
    stage = Stage()
    await stage.converse("Go", final("Done."))
    other = FakeEngine()
    other.model_name, other.context_length = "other", 0
    stage.session.set_model(other)
    await stage.session.prompt("/status")
    assert "Model: other, not loaded yet" in stage.updates.text
    assert "4,096" not in stage.updates.text


@pytest.mark.parametrize("answer", [[RETURN], titled(' "" '), tool_call("functions.x", "{}")])
async def test_a_session_that_the_model_gives_no_title_keeps_the_first(answer: list[int]) -> None:
    stage = Stage(titles="on")
    await stage.converse("Hi", final("Hello."))
    await stage.say(1, answer)
    assert stage.session._naming is not None
    await stage.session._naming
    assert stage.updates.titles == ["Hi"]


async def test_an_engine_that_fails_leaves_the_title_as_it_was() -> None:
    stage = Stage(titles="on")
    await stage.converse("Hi", final("Hello."))
    (await stage.engine.generation(1)).end(EngineError("no memory"))
    assert stage.session._naming is not None
    await stage.session._naming
    await stage.converse("Again", final("Hello."))
    await stage.say(3, titled("Greetings"))
    await settled(lambda: stage.updates.titles == ["Hi", "Greetings"])


async def test_a_cancelled_turn_is_not_named() -> None:
    stage = Stage(titles="on")
    turn = stage.prompt("Hi")
    await stage.engine.generation(0)
    stage.session.cancel()
    assert (await finished(turn)).stop_reason == "cancelled"
    assert stage.session._naming is None
