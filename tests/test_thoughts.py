"""What the user sees of the model's thoughts in a turn: each as progress, begun and ended in its place, never its text."""

from __future__ import annotations

import json

import pytest

from gptoss_acp.engine.api import EngineError
from gptoss_acp.harmony import encoding
from gptoss_acp.turn import MOST_TRIES
from gptoss_acp.vocabulary import END, RETURN
from tests.support.stage import Stage, finished
from tests.support.thoughts import end_of, untimed
from tests.support.tokens import final, message, numbers, preamble, said, thought, tool_call

SECRET = "secret plan"
CALL = tool_call("functions.read_file", '{"path":"a"}')


def shown(stage: Stage) -> list[str]:
    """Return what came in order: the pieces of thoughts, each token of a message, `call` and `called` of a tool."""
    told = []
    for update in stage.updates.shown:
        match update["sessionUpdate"]:
            case "agent_thought_chunk" | "agent_message_chunk":
                told.append(untimed(update["content"]["text"]))
            case "tool_call":
                told.append("call")
            case "tool_call_update" if update.get("status") in {"completed", "failed"}:
                told.append("called")
    return told


def ids(stage: Stage) -> list[str]:
    return [identifier for identifier, _ in stage.updates.thoughts]


async def test_a_thought_is_shown_from_its_first_token_to_its_last_before_the_answer() -> None:
    stage = Stage()
    turn = stage.prompt("Hi")
    thinks = thought(SECRET)
    await stage.say(0, thinks[:3], end=False)
    assert shown(stage) == ["Thinking"]
    await stage.say(0, thinks[3:-1], end=False)
    assert shown(stage) == ["Thinking"]
    await stage.say(0, thinks[-1:], end=False)
    assert shown(stage) == ["Thinking", end_of(thinks)]
    await stage.say(0, said([], final("Hello")))
    outcome = await finished(turn)
    assert shown(stage) == ["Thinking", end_of(thinks), "Hello"]
    assert end_of(thinks) == f" · {outcome.thought_tokens} tokens"
    assert len(set(ids(stage))) == 1
    assert ids(stage)[0] not in [identifier for identifier, _ in stage.updates.chunks]


async def test_each_thought_of_a_turn_is_a_message_of_its_own_around_its_tool_calls() -> None:
    stage = Stage()
    first, second = thought(SECRET), thought("another secret")
    await stage.converse("Go", said(first, preamble("Look"), CALL), said(second, final("Done")))
    assert shown(stage) == ["Thinking", end_of(first), "Look", "call", "called", "Thinking", end_of(second), "Done"]
    one, one_again, other, other_again = ids(stage)
    assert one == one_again != other == other_again


async def test_a_thought_that_is_cancelled_ends_before_the_turn_does() -> None:
    stage = Stage()
    turn = stage.prompt("Think")
    await stage.say(0, thought(SECRET)[:-1], end=False)
    stage.session.cancel()
    assert (await finished(turn)).stop_reason == "cancelled"
    assert shown(stage) == ["Thinking", end_of(thought(SECRET)[:-1])]


async def test_a_thought_in_which_the_tokens_run_out_ends() -> None:
    stage = Stage()
    assert (await stage.converse("Think", thought(SECRET)[:-1])).stop_reason == "max_tokens"
    assert shown(stage) == ["Thinking", end_of(thought(SECRET)[:-1])]


async def test_a_thought_in_which_the_engine_fails_ends_before_the_error() -> None:
    stage = Stage()
    turn = stage.prompt("Think")
    await stage.say(0, thought(SECRET)[:-1], end=False)
    stage.engine.generations[0].end(EngineError("the device is gone"))
    with pytest.raises(EngineError):
        await finished(turn)
    assert shown(stage) == ["Thinking", end_of(thought(SECRET)[:-1])]


async def test_a_thought_that_goes_round_in_circles_ends_where_it_is_stopped() -> None:
    stage = Stage()
    circles = [thought("over and over, " * 1000)] * MOST_TRIES
    await stage.converse("Think", *circles, encoding.encode_text("Enough"))
    assert shown(stage)[: 2 * MOST_TRIES : 2] == ["Thinking"] * MOST_TRIES
    assert shown(stage)[2 * MOST_TRIES :] == ["Enough"]
    took = [int(told.split()[-2].replace(",", "")) for told in shown(stage)[1 : 2 * MOST_TRIES : 2]]
    assert all(100 < tokens < len(circles[0]) for tokens in took), "as many as were sampled, not as are kept"


async def test_a_reply_that_is_sampled_again_shows_each_thought_as_it_comes() -> None:
    stage = Stage()
    thinks = message("analysis", SECRET, RETURN)
    await stage.converse("Hi", thinks, thinks, said(thinks, final("Hello")))
    assert shown(stage) == ["Thinking", end_of(thinks)] * 3 + ["Hello"]
    assert len(set(ids(stage))) == 3


@pytest.mark.parametrize(
    "sampled",
    [
        pytest.param([message("analysis", SECRET, RETURN), final("Hello")], id="that ends as an answer does"),
        pytest.param([message("commentary", '{"path": "secret"}', END), final("Hello")], id="a call without a name"),
        pytest.param([said(message("secret thoughts", SECRET, END), final("Hello"))], id="on a channel that is none"),
        pytest.param([said(thought(SECRET), thought("more secrets"), final("Hello"))], id="two in a row"),
        pytest.param([said(thought(""), final("Hello"))], id="an empty one"),
    ],
)
async def test_all_that_counts_as_thought_is_shown_as_one_and_nothing_of_its_text(sampled: list[list[int]]) -> None:
    stage = Stage()
    outcome = await stage.converse("Hi", *sampled)
    *thoughts, last = shown(stage)
    assert last == "Hello"
    assert thoughts[::2] == ["Thinking"] * (len(thoughts) // 2)
    assert sum(int(text.split()[1]) for text in thoughts[1::2]) == outcome.thought_tokens > 0
    assert "secret" not in json.dumps(stage.updates.shown)


async def test_without_the_setting_nothing_is_shown_of_thoughts() -> None:
    stage = Stage(thinking="off")
    outcome = await stage.converse("Hi", said(thought(SECRET), final("Hello")))
    assert shown(stage) == ["Hello"]
    assert outcome.thought_tokens > 0


async def test_what_the_model_is_asked_aside_shows_no_thought() -> None:
    stage = Stage()
    await stage.converse("Hi", final(numbers(200)))
    before = len(shown(stage))
    await stage.converse("/compact", said(thought(SECRET), final("A summary.")))
    assert "Thinking" not in shown(stage)[before:]
