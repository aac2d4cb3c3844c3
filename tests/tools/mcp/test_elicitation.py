"""What MCP servers ask the user: put as theirs, answered as they expect, withdrawn with the turn; hostile forms refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from acp import schema
from mcp import MCPError, types

from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.protocol.face import Answered, TurnCancelledError
from gptoss_acp.tools.mcp import elicitation
from gptoss_acp.tools.mcp.elicitation import MOST_FIELDS
from gptoss_acp.tools.mcp.questions import FORM_WARNING, MOST_QUESTIONS, Questions
from tests.support.conformance import check
from tests.support.mcp_desk import PATIENT, McpDesk, program, ready
from tests.support.waiting import settled

pytestmark = pytest.mark.timeout(180)  # a server is started, on a machine that may have more to do

ASKS = Capabilities(forms=True, urls=True)
TOO_DEEP: Any = []
for _ in range(100_000):
    TOO_DEEP = [TOO_DEEP]
DEEP = json.loads("[" * 900 + "]" * 900)
STRANGE = {"$ref": "http://127.0.0.1:9/", "pattern": "^(a+)+$", "allOf": [{"type": "null"}], "description": "D"}
"""What a schema may say besides, of which only the description is known."""


async def asked(form: Any, answered: Answered | None = None) -> tuple[types.ElicitResult | types.ErrorData, list[Any]]:
    """Return what a server is answered that asks so, and what the user was asked."""
    shown: list[Any] = []

    async def ask(elicited: Any) -> Answered:
        shown.append(elicited)
        return answered or Answered("accept", {})

    return await elicitation.answer(types.ElicitRequestFormParams(message="m", requested_schema=form), ask), shown


async def test_every_kind_of_field_is_shown(tmp_path: Path) -> None:
    fields = {
        "name": {"type": "string", "title": "Name", "minLength": 1, "maxLength": 9, "format": "email", "default": "x"},
        "age": {"type": "integer", "minimum": 0, "maximum": 130, "description": "In years"},
        "size": {"type": "number", "default": 1.5},
        "sure": {"type": "boolean", "default": True},
        "one": {"type": "string", "enum": ["a", "b"]},
        "named": {"type": "string", "oneOf": [{"const": "a", "title": "A"}]},
        "older": {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]},
        "many": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "maxItems": 2},
        "titled": {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}},
    }
    answer, (shown,) = await asked({"type": "object", "properties": fields, "required": ["age", "unknown"]})
    assert isinstance(answer, types.ElicitResult)
    check(schema.CreateFormSessionElicitationRequest, {**shown, "sessionId": "s"})
    form = shown["requestedSchema"]
    older = form["properties"].pop("older")
    assert older["oneOf"] == [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}]
    assert form == {
        "type": "object",
        "properties": {n: f for n, f in fields.items() if n != "older"},
        "required": ["age"],
    }


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        (
            {"type": "string", "oneOf": [{"const": "a", "title": "A", **STRANGE}], "items": STRANGE},
            {"type": "string", "oneOf": [{"const": "a", "title": "A", "description": "D"}]},
        ),
        (
            {"type": "array", "items": {"type": "string", "enum": ["a"], **STRANGE}},
            {"type": "array", "items": {"type": "string", "enum": ["a"]}},
        ),
        ({"type": "boolean", "$ref": "http://127.0.0.1:9/"}, {"type": "boolean"}),
        ({"type": "integer", "default": "many"}, {"type": "integer"}),
        ({"type": "string", "default": DEEP}, {"type": "string"}),
        ({"type": "string", "title": DEEP}, {"type": "string"}),
        ({"type": "boolean", "default": "yes"}, {"type": "boolean"}),
        (
            {"type": "string", "oneOf": [{"const": "a", "title": " "}]},
            {"type": "string", "oneOf": [{"const": "a", "title": "a"}]},
        ),
    ],
)
async def test_of_a_field_is_shown_and_checked_only_what_is_known(field: Any, shown: Any) -> None:
    _, (elicited,) = await asked({"type": "object", "properties": {"a": field}})
    assert elicited["requestedSchema"]["properties"]["a"] == shown


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"type": "object", "properties": []},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {str(number): {"type": "string"} for number in range(MOST_FIELDS + 1)}},
        {"type": "object", "properties": {"a": "string"}},
        {"type": "object", "properties": {"a": {"type": "object", "properties": {}}}},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": [1]}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a\u202e": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": ["b\u200b"]}}},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": "many"}}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": []}}},
        {"type": "object", "properties": {"a": {"type": "string", "oneOf": ["a"]}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "array", "items": DEEP}}}},
        {"type": "object", "properties": {"a": {"type": "string", "format": "password"}}},
        {"type": "object", "properties": {"a": {"type": "string", "writeOnly": True}}},
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": 10**30}}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": [str(n) for n in range(60_000)]}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "x": TOO_DEEP},
    ],
)
async def test_what_is_no_form_is_refused_with_a_reason(form: Any) -> None:
    answer, shown = await asked(form)
    assert isinstance(answer, types.ErrorData)
    assert answer.message
    assert not shown


async def test_what_a_form_is_called_and_is_for_is_shown() -> None:
    form = {"type": "object", "title": "Pay", "description": "1000 €\u202e", "properties": {"a": {"type": "string"}}}
    _, (elicited,) = await asked(form)
    assert elicited["requestedSchema"]["title"] == "Pay"
    assert elicited["requestedSchema"]["description"] == "1000 €\\u{202E}"


@pytest.mark.parametrize(
    "url",
    [
        *("http://[", "http://", "http:", "http://:80/", "http://a b/", "http://x:abc/", "http://%zz/"),
        *("javascript:alert(1)", "file:///etc/passwd", "/etc/passwd", "https://x/\u200b"),
        *("https://good.com@evil.com/", "https://x/" + "a" * 9_000),
    ],
)
async def test_what_is_no_address_that_can_be_shown_is_refused_with_a_reason(url: str) -> None:
    async def ask(_: Any) -> Answered:
        raise AssertionError

    asked = types.ElicitRequestURLParams(message="m", url=url, elicitation_id="1")
    answer = await elicitation.answer(asked, ask)
    assert isinstance(answer, types.ErrorData)
    error = MCPError(types.URL_ELICITATION_REQUIRED, "m", {"elicitations": [asked.model_dump(by_alias=True)]})
    assert answer.message in str(await elicitation.show_addresses(error, ask))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://good.com\\@evil.com/", "https://good.com/@evil.com/"),
        ("http://\u0430pple.com/", "http://xn--pple-43d.com/"),
        ("https://example.org/in?to=https%3A%2F%2Fx", "https://example.org/in?to=https%3A%2F%2Fx"),
    ],
)
async def test_an_address_is_shown_as_browsers_read_it(url: str, shown: str) -> None:
    asked: list[Any] = []

    async def ask(elicited: Any) -> Answered:
        asked.append(elicited["url"])
        return Answered("decline")

    await elicitation.answer(types.ElicitRequestURLParams(message="m", url=url, elicitation_id="1"), ask)
    assert asked == [shown]


async def test_a_message_that_can_not_be_shown_whole_is_refused() -> None:
    async def ask(_: Any) -> Answered:
        raise AssertionError

    long = types.ElicitRequestURLParams(message="\u202e" * 50_000, url="https://example.org/", elicitation_id="1")
    answer = await elicitation.answer(long, ask)
    assert isinstance(answer, types.ErrorData)
    assert "too long" in answer.message


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_no_answer_is_handed_on(action: Any) -> None:
    form = {"type": "object", "properties": {"a": {"type": "string"}}}
    answer, _ = await asked(form, Answered(action))
    assert answer == types.ElicitResult(action=action)


def forms(desk: McpDesk) -> list[Any]:
    return [params for method, params in desk.peer.asked if method == "elicitation/create"]


def questions_of(desk: McpDesk) -> Questions:
    questions = desk.servers._servers[0]._questions
    assert questions is not None
    return questions


@pytest.mark.parametrize("kind", ["stdio", "older"])
async def test_a_real_server_asks_and_is_answered(kind: str, tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path, kind), capabilities=ASKS) as desk:
        user: list[Any] = []
        desk.peer.answers["elicitation/create"] = lambda _: user[-1]
        for answer, told in [
            ({"action": "accept", "content": {"people": 4, "outside": True}}, "accept {'people': 4, 'outside': True}"),
            ({"action": "decline"}, "decline"),
            ({"action": "cancel"}, "cancel"),
            ({"action": "accept", "content": {"people": "four"}}, "Error: "),
        ]:
            user.append(answer)
            assert (await desk.call("test__book")).startswith(told)
        form, *_ = forms(desk)
        assert form["message"] == f"The MCP server test asks. {FORM_WARNING}\n\nFor how many\\u{{202E}}?"
        assert form["requestedSchema"]["required"] == ["people"]


async def test_a_server_sends_the_user_to_an_address(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path, "older"), capabilities=ASKS) as desk:
        desk.peer.answers["elicitation/create"] = lambda _: {"action": "accept"}
        assert await desk.call("test__sign_in", url="https://example.org/in") == "accept"
        (shown,) = forms(desk)
        check(schema.CreateUrlSessionElicitationRequest, shown)
        assert shown["message"] == "The MCP server test asks.\n\nSign in there"
        assert "only an address that begins with https" in await desk.call("test__sign_in", url="file:///etc/passwd")
        await desk.call(
            "test__sign_in", url="https://example.org/in", message="\n" * 60 + "gpt-oss needs you to sign in"
        )
        assert forms(desk)[-1]["message"].endswith("gpt-oss needs you to sign in\n\nThe MCP server test asks.")


@pytest.mark.parametrize("kind", ["stdio", "older"])
async def test_the_user_is_shown_what_a_server_wants_opened_before_it_does_anything(kind: str, tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path, kind), capabilities=ASKS) as desk:
        first, second = "https://example.org/a", "https://example.org/b"
        desk.peer.answers["elicitation/create"] = lambda _: {"action": "accept"}
        assert "Call again when the user says that it is done" in await desk.call("test__pay", urls=[first, second])
        assert [shown["url"] for shown in forms(desk)] == [first, second]
        desk.peer.answers["elicitation/create"] = lambda _: {"action": "decline"}
        assert "did not agree" in await desk.call("test__pay", urls=[first, second])
        assert [shown["url"] for shown in forms(desk)] == [first, second, first]
        assert "begins with https" in await desk.call("test__pay", urls=["file:///etc/passwd"])
        assert "does not say which" in await desk.call("test__pay", urls=[])
        assert len(forms(desk)) == 3


@pytest.mark.parametrize("capabilities", [Capabilities(), Capabilities(forms=True)])
async def test_where_no_address_is_shown_the_model_is_told_which_the_user_has_to_open(
    capabilities: Capabilities, tmp_path: Path
) -> None:
    async with ready(tmp_path, program(tmp_path), capabilities=capabilities) as desk:
        assert "which: https://example.org/a" in await desk.call("test__pay", urls=["https://example.org/a"])
        assert forms(desk) == []


@pytest.mark.parametrize("data", [None, [], "x", {"elicitations": 1}, {"elicitations": [{"url": 1}]}])
async def test_addresses_that_are_none_are_told_as_such(data: Any) -> None:
    error = await elicitation.show_addresses(MCPError(types.URL_ELICITATION_REQUIRED, "sign in", data), None)
    assert "does not say which: sign in" in str(error)


async def test_a_server_that_asks_much_at_once_is_answered_in_turn_and_not_without_end(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path, "older"), capabilities=ASKS) as desk:
        questions, at_once = questions_of(desk), [0]

        async def user(_: Any) -> Any:
            at_once.append(at_once[-1] + 1)
            if len(forms(desk)) == 1:
                await settled(lambda: len(questions._open) == MOST_QUESTIONS, PATIENT)
            at_once.append(at_once[-1] - 1)
            return {"action": "accept"}

        desk.peer.answers["elicitation/create"] = user
        for _ in range(2):
            told = await desk.call("test__sign_in", url="https://example.org/in", times=MOST_QUESTIONS + 2)
            refused = f"not asked: the user is asked at most {MOST_QUESTIONS} questions in one call"
            assert told.splitlines() == ["accept"] * MOST_QUESTIONS + [refused] * 2
        assert max(at_once) == 1


async def test_who_cancels_the_turn_at_a_question_is_not_asked_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(tmp_path, program(tmp_path, "older"), capabilities=ASKS) as desk:
        questions, put = questions_of(desk), 0

        async def elicit(_: Any) -> Answered:
            nonlocal put
            put += 1
            await settled(lambda: len(questions._open) == 3, PATIENT)
            raise TurnCancelledError

        monkeypatch.setattr(desk.workspace.face, "elicit", elicit)
        with pytest.raises(asyncio.CancelledError):
            await desk.call("test__sign_in", url="https://example.org/in", times=3)
        assert put == 1


async def test_a_question_is_withdrawn_with_the_turn_and_the_server_goes_on(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path), capabilities=ASKS) as desk:
        withdrawn = asyncio.Event()

        async def never(_: Any) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                withdrawn.set()

        desk.peer.answers["elicitation/create"] = never
        turn = asyncio.create_task(desk.call("test__book"))
        await settled(lambda: forms(desk), PATIENT)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        async with asyncio.timeout(PATIENT):
            await withdrawn.wait()
        desk.peer.answers["elicitation/create"] = lambda _: {"action": "decline"}
        assert await desk.call("test__book") == "decline"


@pytest.mark.parametrize("kind", ["stdio", "older"])
async def test_a_server_is_told_the_modes_that_the_client_shows(kind: str, tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path, kind), capabilities=Capabilities(forms=True)) as desk:
        assert await desk.call("test__show_modes") == "['form']"
        told = await desk.call("test__sign_in", url="https://example.org/in")
        assert told.startswith(("not asked: ", "Error: "))
        assert forms(desk) == []


async def test_a_client_that_shows_only_addresses_is_asked_to_visit_one(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path, "older"), capabilities=Capabilities(urls=True)) as desk:
        assert await desk.call("test__show_modes") == "['url']"
        desk.peer.answers["elicitation/create"] = lambda _: {"action": "decline"}
        assert await desk.call("test__sign_in", url="https://example.org/in") == "decline"


async def test_a_server_of_a_client_without_forms_is_told_so(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        assert (await desk.call("test__book")).startswith(("not asked: ", "Error: "))
        assert forms(desk) == []
