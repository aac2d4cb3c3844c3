"""What a client is told while a turn runs, in ACP's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from acp import schema

from gptoss_acp.protocol import shapes
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.protocol.config_options import config_options
from gptoss_acp.protocol.editor import Editor
from gptoss_acp.protocol.shapes import text, text_content
from gptoss_acp.protocol.updates import Updates
from gptoss_acp.rpc import Connection

CHUNK: shapes.AgentMessageChunk = {
    "sessionUpdate": "agent_message_chunk",
    "messageId": "the-message",
    "content": {"type": "text", "text": "Hi"},
}


class Recorder(Connection):
    """A connection that keeps what it would send; `texts` are those that it may join."""

    congested = False

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.texts: list[tuple[str, str]] = []

    def notify(self, method: str, params: dict[str, Any]) -> None:
        assert (method, params["sessionId"]) == ("session/update", "the-session")
        self.sent.append(params["update"])

    def notify_text(self, method: str, key: str, text: str, frame: Callable[[str], dict[str, Any]]) -> None:
        self.texts.append((key, text))
        self.notify(method, frame(text))


class Told:
    """The updates of a session, what was sent of them and what was recorded."""

    def __init__(self, *, shows_compaction: bool = False, shows_notices: bool = False) -> None:
        self.connection = Recorder()
        self.recorded: list[Any] = []
        capabilities = Capabilities(compaction=shows_compaction, notices=shows_notices)
        editor = Editor(self.connection, "the-session", capabilities)
        self.updates = Updates(editor, self.recorded.append)

    @property
    def sent(self) -> list[dict[str, Any]]:
        return self.connection.sent


async def test_a_piece_of_an_answer_says_that_it_is_one() -> None:
    told = Told()
    told.updates.message_chunk("the-message", "Hi", "final")
    (chunk,) = told.recorded
    assert (chunk, shapes.channel(chunk)) == ({**CHUNK, "_meta": {"gptoss-acp": {"channel": "final"}}}, "final")
    assert shapes.channel(CHUNK) is None
    schema.AgentMessageChunk.model_validate(chunk)


async def test_updates_reach_the_connection_as_acp_session_updates() -> None:
    told = Told()
    told.updates.message_chunk("the-message", "Hi")
    told.updates.usage(10, 100)
    assert told.sent == told.recorded == [CHUNK, {"sessionUpdate": "usage_update", "used": 10, "size": 100}]
    assert told.connection.texts == [("the-message", "Hi")]


async def test_every_update_is_one_of_acps_and_is_recorded() -> None:
    told = Told()
    updates = told.updates
    updates.message_chunk("m", "Hi")
    updates.title("A title")
    updates.tool_call("c", "Read", "read")
    updates.tool_call_update("c", status="completed", content=[text_content("done")])
    updates.compaction("k", "in_progress")
    updates.compaction("k", "completed", "A summary.", before=10, after=5)
    updates.commands([{"name": "clear", "description": "Forget"}])
    updates.plan([{"content": "Look", "priority": "medium", "status": "pending"}])
    updates.mode("ask")
    updates.config_options(config_options("ask", "tiny", ["tiny"], "low", None))
    updates.usage(1, 2)
    for update in told.sent:
        schema.SessionNotification.model_validate({"sessionId": "the-session", "update": update})
    assert len(told.sent) == 11
    assert told.recorded == told.sent


async def test_what_is_said_of_a_thought_is_sent_as_a_text_like_others_and_not_recorded() -> None:
    told = Told()
    told.updates.thought_chunk("t", "Thinking")
    (chunk,) = told.sent
    assert chunk == {**CHUNK, "sessionUpdate": "agent_thought_chunk", "messageId": "t", "content": text("Thinking")}
    schema.SessionNotification.model_validate({"sessionId": "the-session", "update": chunk})
    assert told.connection.texts == [("t", "Thinking")]
    assert told.recorded == []


# Notices

LONG = "The MCP server test is not available: " + "it says much. " * 20 + "Going on without it."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("AGENTS.md is too long.", {"title": "AGENTS.md is too long."}),
        (LONG, {"title": LONG[:79] + "…", "description": LONG}),
        ("Two\nlines.", {"title": "Two lines.", "description": "Two\nlines."}),
    ],
)
async def test_a_notice_is_whole_to_a_client_that_knows_notices_and_not_recorded(
    text: str, told: dict[str, str]
) -> None:
    client = Told(shows_notices=True)
    client.updates.notice(text)
    assert client.sent == [{"sessionUpdate": "notice", "severity": "warning", **told}]
    assert client.recorded == []


async def test_a_notice_is_a_message_of_its_own_to_a_client_that_knows_none() -> None:
    client = Told()
    client.updates.notice("One.")
    client.updates.notice("Two.")
    assert [chunk["content"]["text"] for chunk in client.sent] == ["One.\n\n", "Two.\n\n"]
    assert len({chunk["messageId"] for chunk in client.sent}) == 2
    assert client.recorded == client.sent


# Compactions


@pytest.mark.parametrize(
    ("status", "shown"), [("completed", "completed"), ("failed", "failed"), ("cancelled", "failed")]
)
async def test_a_compaction_is_a_tool_call_to_a_client_that_knows_none(status: Any, shown: str) -> None:
    told = Told()
    told.updates.compaction("k", "in_progress")
    told.updates.compaction("k", status, "What was said.", before=1234, after=56)
    begun, ended = told.sent
    assert (begun["sessionUpdate"], begun["title"]) == ("tool_call", "Compacting the conversation")
    assert (ended["toolCallId"], ended["status"]) == (begun["toolCallId"], shown)
    assert ended["content"][0]["content"]["text"] == "1,234 tokens before, 56 after.\n\nWhat was said."


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        ("completed", {"summary": [{"type": "text", "text": "What was said."}]}),
        ("failed", {"error": "What was said."}),
        ("cancelled", {}),
    ],
)
async def test_a_compaction_is_itself_to_a_client_that_knows_it(status: Any, fields: dict[str, Any]) -> None:
    told = Told(shows_compaction=True)
    told.updates.compaction("k", status, "What was said.", before=1234, after=56)
    assert told.sent == [{"sessionUpdate": "compaction_update", "compactionId": "k", **fields, "status": status}]


# Replay


async def test_a_replay_sends_what_was_recorded_and_records_nothing() -> None:
    told = Told()
    usage: shapes.Usage = {"sessionUpdate": "usage_update", "used": 10, "size": 100}
    await told.updates.replay([CHUNK, usage])
    assert list[Any](told.sent) == [CHUNK, usage]
    assert told.connection.texts == [("the-message", "Hi")]
    assert told.recorded == []


@pytest.mark.parametrize("shows_compaction", [True, False])
async def test_a_replay_shows_compactions_that_ended_to_a_client_that_knows_them(*, shows_compaction: bool) -> None:
    told = Told(shows_compaction=shows_compaction)
    begun: shapes.Compaction = {"sessionUpdate": "compaction_update", "compactionId": "k", "status": "in_progress"}
    ended: shapes.Compaction = {**begun, "status": "completed", "summary": []}
    await told.updates.replay([begun, ended])
    shown: list[Any] = [ended] if shows_compaction else []
    assert told.sent == shown
