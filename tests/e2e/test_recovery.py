"""The recovery table through the real program: what an editor sees of each malformed output, and how its turn ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import pytest

from gptoss_acp.vocabulary import CALL, RETURN
from tests.support.harmony_outputs import ids, run
from tests.support.recovery_table import RECOVERED
from tests.support.spawner import Spawner
from tests.support.tokens import final, message, text_of

REAL_OUTPUTS: list[dict[str, Any]] = json.loads(
    resources.files("tests.support").joinpath("real_outputs.json").read_text("utf-8")
)
AFTER_CALL = "I have read it."
ASKED_AGAIN = "This is my answer."
ROWS_A_PROCESS = 40

Told = list[tuple[str, ...]]


def shown_until_call(told: Told) -> tuple[list[str], bool]:
    """Return what is shown before the first tool call, and whether there is one: after it, the model must wait."""
    shown: list[str] = []
    for kind, *rest in told:
        if kind == "call":
            return shown, True
        if kind == "shown":
            shown.append(rest[0])
    return shown, False


def expected(written: str, told: Told) -> tuple[list[list[int]], list[str], str]:
    """Return the model calls of a turn that begins with `written`, the messages shown, and the stop reason."""
    tokens = ids(written)
    shown, called = shown_until_call(told)
    if called and written.endswith("|>"):
        return [tokens, final(AFTER_CALL)], [*shown, AFTER_CALL], "end_turn"
    if ("lost",) in told:
        return [tokens, final(ASKED_AGAIN)], [*shown, ASKED_AGAIN], "end_turn"
    if not written.endswith(("<|return|>", "<|call|>")) and ("stopped", "other speaker") not in told:
        return [tokens], shown, "max_tokens"
    if any(message.channel == "final" and message.text for message in run(tokens).ended):
        return [tokens], shown, "end_turn"
    return [tokens, final(ASKED_AGAIN)], [*shown, ASKED_AGAIN], "end_turn"


def batches() -> list[list[tuple[str, Told]]]:
    rows = list(RECOVERED.items())
    return [rows[start : start + ROWS_A_PROCESS] for start in range(0, len(rows), ROWS_A_PROCESS)]


@pytest.mark.parametrize("rows", batches(), ids=lambda rows: rows[0][0][:40])
def test_no_malformed_output_loses_a_turn_or_shows_its_markup(spawn: Spawner, rows: Sequence[tuple[str, Told]]) -> None:
    turns = [expected(written, told) for written, told in rows]
    # No question is asked in this mode: commands are refused.
    agent = spawn.scripted(*(call for calls, _, _ in turns for call in calls), arguments=["--mode", "read-only"])
    agent.initialize()
    for (written, _), (_, messages, stop_reason) in zip(rows, turns, strict=True):
        session = agent.new_session()
        assert agent.result(agent.prompt(session, "Go"))["stopReason"] == stop_reason, written
        assert agent.messages(session) == messages, written
    wire = str([received.message for received in agent.received])
    for hidden in ("<|", "made up", "Hm", "No!"):
        assert hidden not in wire


@pytest.mark.parametrize("case", REAL_OUTPUTS, ids=lambda case: case["what"])
def test_what_the_real_model_writes_comes_to_what_it_means(spawn: Spawner, case: dict[str, Any]) -> None:
    # No question is asked in this mode: commands are refused.
    agent = spawn.scripted(ids(case["written"]), final(ASKED_AGAIN), arguments=["--mode", "read-only"])
    session = agent.open()
    assert agent.result(agent.prompt(session, "Go"))["stopReason"] == "end_turn"
    shown = [text for text in case["shown"].split(" / ") if text]
    goes_on = bool(case["call"] or case.get("then"))
    assert agent.messages(session) == [*shown, *[ASKED_AGAIN] * goes_on]
    assert len(agent.updates(session, "tool_call")) == bool(case["call"])
    assert "hidden" not in str([received.message for received in agent.received])


def test_a_model_that_never_answers_is_asked_three_times_then_an_answer_is_begun_for_it(spawn: Spawner) -> None:
    thought = message("analysis", "hm", RETURN)
    agent = spawn.scripted(thought, thought, thought, [RETURN], traced=True)
    session = agent.open()
    answer = agent.result(agent.prompt(session, "Go"))
    assert answer["stopReason"] == "end_turn"
    assert "without an answer" in answer["_meta"]["gptoss-acp"]["notice"]
    assert agent.messages(session) == []
    first, second, third, last = [text_of(prompt) for prompt in agent.traced_prompts()]
    assert first == second == third
    assert last.endswith("<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>")


def test_a_preamble_does_not_end_a_turn_and_is_shown_once(spawn: Spawner) -> None:
    agent = spawn.scripted(message("commentary", "I will look.", RETURN), final("Done."), traced=True)
    session = agent.open()
    assert agent.result(agent.prompt(session, "Go"))["stopReason"] == "end_turn"
    assert agent.messages(session) == ["I will look.", "Done."]
    assert [text_of(prompt) for prompt in agent.traced_prompts()][1].endswith(
        "<|message|>I will look.<|end|><|start|>assistant"
    )


def test_a_call_that_names_no_tool_is_told_to_the_model_and_forgotten_with_its_turn(spawn: Spawner) -> None:
    lost = message("commentary", '{"zebra": "a"}', CALL)
    agent = spawn.scripted(lost, final("Done."), final("Again."), traced=True)
    session = agent.open()
    agent.result(agent.prompt(session, "Go"))
    agent.result(agent.prompt(session, "On"))
    assert agent.messages(session) == ["Done.", "Again."]
    _, told, after = [text_of(prompt) for prompt in agent.traced_prompts()]
    assert "Error: the call names no tool" in told
    assert "zebra" not in after
    assert "Error" not in after


def test_endless_repetition_ends_the_turn_and_keeps_what_was_said_before(spawn: Spawner) -> None:
    loop = ids("<|channel|>final<|message|>Well. " + "and on and on we go, " * 3000)
    agent = spawn.scripted(loop)
    session = agent.open()
    answer = agent.result(agent.prompt(session, "Go"))
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"]["outputTokens"] < 2000
    assert agent.messages(session)[0].startswith("Well. and on and on")


def test_repetition_may_be_allowed(spawn: Spawner) -> None:
    loop = ids("<|channel|>final<|message|>" + "and on and on we go, " * 300 + "end<|return|>")
    agent = spawn.scripted(loop, arguments=["--stop-repetition", "off"])
    session = agent.open()
    assert agent.result(agent.prompt(session, "Go"))["stopReason"] == "end_turn"
    assert agent.messages(session)[0].endswith("we go, end")


def test_endless_repetition_in_reasoning_still_leads_to_an_answer(spawn: Spawner) -> None:
    loop = ids("<|channel|>analysis<|message|>" + "let me think about it again, " * 3000)
    agent = spawn.scripted(loop, ids(f"{ASKED_AGAIN}<|return|>"))
    session = agent.open()
    assert agent.result(agent.prompt(session, "Go"))["stopReason"] == "end_turn"
    assert agent.messages(session) == [ASKED_AGAIN]
