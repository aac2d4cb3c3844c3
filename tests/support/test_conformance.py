"""The judge of the wire: it passes a right conversation, and finds each wrong one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.conformance import Conversation

CALL = {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "Read", "kind": "read", "status": "pending"}
DONE = {"sessionUpdate": "tool_call_update", "toolCallId": "c", "status": "completed"}
USAGE = {"sessionUpdate": "usage_update", "used": 1, "size": 2}
NEW = {"sessionId": "s"}
END = {"stopReason": "end_turn"}


def chunk(identifier: str, text: str = "a", kind: str = "agent_message_chunk") -> dict[str, Any]:
    return {"sessionUpdate": kind, "messageId": identifier, "content": {"type": "text", "text": text}}


def thought(identifier: str, text: str = "Thinking") -> dict[str, Any]:
    return chunk(identifier, text, "agent_thought_chunk")


def asked(identifier: int, method: str) -> tuple[str, dict[str, Any]]:
    params = {"sessionId": "s"} if method != "session/new" else {}
    return "<-", {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params}


def answered(identifier: int, result: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "->", {"jsonrpc": "2.0", "id": identifier, "result": result}


def updated(update: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "->", {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}}


def permission(identifier: int, call: str) -> tuple[str, dict[str, Any]]:
    options = [{"optionId": "yes", "name": "Yes", "kind": "allow_once"}]
    params = {"sessionId": "s", "toolCall": {"toolCallId": call}, "options": options}
    return "->", {"jsonrpc": "2.0", "id": identifier, "method": "session/request_permission", "params": params}


OPEN = [asked(1, "session/new"), answered(1, NEW)]
PROMPTED = [*OPEN, asked(2, "session/prompt")]
THOUGHT = [updated(thought("t")), updated(USAGE), updated(thought("t", " · 1 min 5 s, 1,410 tokens"))]


def judge(lines: list[tuple[str, dict[str, Any]]]) -> None:
    conversation = Conversation()
    for direction, message in lines:
        if direction == "<-":
            conversation.client_said(message)
        else:
            conversation.agent_said(json.dumps(message).encode() + b"\n")


def test_a_right_conversation_passes() -> None:
    turn = [updated(chunk("m")), updated(CALL), permission(0, "c"), updated(DONE), updated(chunk("n")), updated(USAGE)]
    again = [*THOUGHT, updated(thought("u", "Thinking · 12 tokens"))]
    judge([*PROMPTED, *turn, answered(2, END), updated(USAGE), asked(3, "session/prompt"), *again, answered(3, END)])


@pytest.mark.parametrize(
    "lines",
    [
        [updated(USAGE)],
        [asked(1, "session/new"), updated(USAGE)],
        [*OPEN, updated(chunk("m"))],
        [*OPEN, answered(1, NEW)],
        [*OPEN, answered(7, NEW)],
        [*PROMPTED, answered(2, END), updated(chunk("m"))],
        [*PROMPTED, answered(2, {"stopReason": "tired"})],
        [*PROMPTED, answered(2, {**END, "mood": "good"})],
        [*PROMPTED, updated(DONE)],
        [*PROMPTED, updated(CALL), updated(CALL)],
        [*PROMPTED, updated(CALL), updated(DONE), updated(DONE)],
        [*PROMPTED, updated(CALL), answered(2, END)],
        [*PROMPTED, updated({**CALL, "status": "in_progress"}), updated({**DONE, "status": "pending"})],
        [*PROMPTED, updated(CALL), updated(DONE), permission(0, "c")],
        [*PROMPTED, updated(CALL), permission(0, "c"), permission(0, "c")],
        [*PROMPTED, updated(chunk("m")), updated(chunk("n")), updated(chunk("m"))],
        [*PROMPTED, updated(thought("t", "secret"))],
        [*PROMPTED, updated(thought("t")), updated(thought("t", " secret"))],
        [*PROMPTED, *THOUGHT, updated(thought("t", ", 5 tokens"))],
        [*PROMPTED, updated(thought("t")), answered(2, END)],
        [*PROMPTED, updated(thought("t")), updated(chunk("m"))],
        [*PROMPTED, updated(thought("t")), updated(CALL)],
        [*PROMPTED, updated(thought("t")), updated(thought("u"))],
        [*OPEN, asked(2, "session/load"), *THOUGHT],
        [*PROMPTED, updated({"sessionUpdate": "news"})],
        [*OPEN, updated({"sessionUpdate": "notice", "severity": "info", "title": "Not declared"})],
        [*PROMPTED, ("->", {"jsonrpc": "2.0", "method": "session/update"})],
        [*PROMPTED, ("->", {"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": 5}})],
        [*PROMPTED, ("->", {**permission(0, "c")[1], "method": "fs/read_text_file"})],
        [*PROMPTED, ("->", {"jsonrpc": "2.0", "id": 5, "method": "terminal/kill", "params": {}})],
    ],
)
def test_a_wrong_conversation_is_found(lines: list[tuple[str, dict[str, Any]]]) -> None:
    with pytest.raises((AssertionError, ValueError, KeyError)):
        judge(lines)
