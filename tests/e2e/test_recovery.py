"""The recovery table through the real program: what an editor sees of each malformed output, and how its turn ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gptoss_acp.vocabulary import RETURN
from tests.support.harmony_outputs import ids
from tests.support.recovery_table import RECOVERED
from tests.support.spawner import Spawner
from tests.support.tokens import final, message

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
    if not written.endswith(("<|return|>", "<|call|>")) and ("stopped", "other speaker") not in told:
        return [tokens], shown, "max_tokens"
    if shown:
        return [tokens], shown, "end_turn"
    return [tokens, ids(f"{ASKED_AGAIN}<|return|>")], [ASKED_AGAIN], "end_turn"


def batches() -> list[list[tuple[str, Told]]]:
    rows = list(RECOVERED.items())
    return [rows[start : start + ROWS_A_PROCESS] for start in range(0, len(rows), ROWS_A_PROCESS)]


@pytest.mark.parametrize("rows", batches(), ids=lambda rows: rows[0][0][:40])
def test_no_malformed_output_loses_a_turn_or_shows_its_markup(spawn: Spawner, rows: Sequence[tuple[str, Told]]) -> None:
    turns = [expected(written, told) for written, told in rows]
    agent = spawn.scripted(*(call for calls, _, _ in turns for call in calls))
    agent.initialize()
    for (written, _), (_, messages, stop_reason) in zip(rows, turns, strict=True):
        session = agent.new_session()
        assert agent.result(agent.prompt(session, "Go"))["stopReason"] == stop_reason, written
        assert agent.messages(session) == messages, written
    wire = str([received.message for received in agent.received])
    for hidden in ("<|", "made up", "Hm", "No!"):
        assert hidden not in wire


def test_a_model_that_never_answers_ends_its_turn_with_a_notice(spawn: Spawner) -> None:
    agent = spawn.scripted(message("analysis", "hm", RETURN), [RETURN])
    session = agent.open()
    answer = agent.result(agent.prompt(session, "Go"))
    assert answer["stopReason"] == "end_turn"
    assert "without an answer" in answer["_meta"]["gptoss-acp"]["notice"]
    assert agent.messages(session) == []


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
