"""The tool that asks the user: what the form is, what the model is told of the answer, and what is no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acp import schema

from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.settings import MODES, Mode
from gptoss_acp.tools.ask_user import MOST_OPTIONS
from gptoss_acp.tools.registry import ASK_USER_TOOL, CODING_TOOLS
from tests.support.conformance import check
from tests.support.desk import Desk


def asking(folder: Path, answer: Any, mode: Mode = "ask") -> Desk:
    """Return a desk whose user answers every form so."""
    desk = Desk(folder, mode, capabilities=Capabilities(forms=True))
    desk.runner.take([*CODING_TOOLS, ASK_USER_TOOL])
    desk.peer.answers["elicitation/create"] = lambda _: answer
    return desk


def accepted(**content: Any) -> dict[str, Any]:
    return {"action": "accept", "content": content}


def form(desk: Desk) -> Any:
    (asked,) = [params for method, params in desk.peer.asked if method == "elicitation/create"]
    check(schema.CreateFormSessionElicitationRequest, asked)
    return asked


@pytest.mark.parametrize("mode", MODES)
async def test_the_model_is_told_the_answer_in_every_mode(mode: Mode, tmp_path: Path) -> None:
    desk = asking(tmp_path, accepted(answer="Blue"), mode)
    assert await desk.call("ask_user", question="Which colour?") == "The user answers: Blue"
    asked = form(desk)
    assert asked["message"] == "Which colour?"
    assert asked["requestedSchema"]["required"] == ["answer"]
    assert asked["toolCallId"] == desk.last["toolCallId"]
    assert desk.last["status"] == "completed"
    assert "Blue" in desk.last["content"][0]["content"]["text"]
    titles = [update["title"] for update in desk.peer.updates if "title" in update]
    assert titles == ["Ask the user", "Ask: Which colour?"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"choice": "red"}, "red"),
        ({"answer": "neither"}, "neither"),
        ({"choice": "blue", "answer": "a dark one"}, "blue; a dark one"),
    ],
)
async def test_one_of_several_is_chosen_or_put_in_own_words(content: Any, told: str, tmp_path: Path) -> None:
    desk = asking(tmp_path, accepted(**content))
    assert await desk.call("ask_user", question="Which?", options=["red", "blue", "red"]) == f"The user answers: {told}"
    assert form(desk)["requestedSchema"]["properties"]["choice"]["enum"] == ["red", "blue"]


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        ({"action": "decline"}, "does not want to answer"),
        ({"action": "cancel", "content": None}, "has given no answer"),
        (accepted(answer="  "), "has given no answer"),
    ],
)
async def test_no_answer_is_told_as_what_it_is(answer: Any, how: str, tmp_path: Path) -> None:
    told = await asking(tmp_path, answer).call("ask_user", question="Which?")
    assert told.startswith(f"The user {how}. Go on with what seems best")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "yes",
        {},
        {"action": "maybe"},
        {"action": 1},
        {"action": "accept", "content": "blue"},
        accepted(),
        accepted(answer=3),
        accepted(answer=["a"]),
    ],
)
async def test_an_answer_of_another_shape_is_an_error_to_the_model(answer: Any, tmp_path: Path) -> None:
    assert (await asking(tmp_path, answer).call("ask_user", question="Which?")).startswith("Error: ")


async def test_who_declines_has_not_answered_whatever_comes_with_it(tmp_path: Path) -> None:
    answer = {"action": "decline", "content": {"answer": "yes"}}
    told = await asking(tmp_path, answer).call("ask_user", question="Which?")
    assert told.startswith("The user does not want to answer.")


async def test_a_choice_that_was_not_offered_is_none(tmp_path: Path) -> None:
    told = await asking(tmp_path, accepted(choice="green")).call("ask_user", question="Which?", options=["red"])
    assert told.startswith("Error: the form was not filled in as it asks")


@pytest.mark.parametrize(
    "given",
    [
        {"prompt": "Which?", "choices": ["red", "blue"]},
        {"question": "Which?", "options": [{"label": "red"}, {"value": "blue"}]},
        {"question": "Which?", "options": '["red", "blue"]'},
        {"question": "Which?", "options": "red\nblue"},
    ],
)
async def test_arguments_by_other_names_and_shapes_are_read_as_meant(given: Any, tmp_path: Path) -> None:
    desk = asking(tmp_path, accepted(choice="red"))
    assert await desk.call("ask_user", given) == "The user answers: red"
    assert form(desk)["message"] == "Which?"
    assert form(desk)["requestedSchema"]["properties"]["choice"]["enum"] == ["red", "blue"]


async def test_a_text_alone_is_the_question(tmp_path: Path) -> None:
    desk = asking(tmp_path, accepted(answer="Blue"))
    assert await desk.call("ask_user", "Which colour?") == "The user answers: Blue"


async def test_what_can_not_be_seen_is_written_out(tmp_path: Path) -> None:
    desk = asking(tmp_path, accepted(choice="r\\u{200B}ed"))
    await desk.call("ask_user", question="Which\u202e?", options=["r\u200bed"])
    asked = form(desk)
    assert asked["message"] == "Which\\u{202E}?"
    assert asked["requestedSchema"]["properties"]["choice"]["enum"] == ["r\\u{200B}ed"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"question": " \n"}, "the question is empty"),
        ({"question": "x" * 100_000}, "too long to be shown to the user whole"),
        ({"question": "?", "options": [str(number) for number in range(MOST_OPTIONS + 1)]}, "offer at most"),
    ],
)
async def test_what_can_not_be_asked_is_said_to_the_model(arguments: Any, why: str, tmp_path: Path) -> None:
    desk = asking(tmp_path, accepted(answer="x"))
    assert why in await desk.call("ask_user", arguments)
    assert "elicitation/create" not in desk.peer.methods()


async def test_without_forms_the_model_is_told_to_ask_in_its_answer(tmp_path: Path) -> None:
    told = await Desk(tmp_path).call("ask_user", question="Which?")
    assert told.endswith("What you need to know from the user, ask in your answer.")
