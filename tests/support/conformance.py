"""What every line between a client and the agent must hold to: JSON-RPC, ACP's schema, and ACP's order.

Knows the protocol and the SDK's schema. Knows nothing about processes and pipes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, Self

from acp import schema
from pydantic import BaseModel, ConfigDict, Field, model_validator

LONGEST_LINE = 64 * 1024

ANSWERS: dict[str, type[BaseModel]] = {
    "initialize": schema.InitializeResponse,
    "authenticate": schema.AuthenticateResponse,
    "session/new": schema.NewSessionResponse,
    "session/load": schema.LoadSessionResponse,
    "session/resume": schema.ResumeSessionResponse,
    "session/fork": schema.ForkSessionResponse,
    "session/list": schema.ListSessionsResponse,
    "session/close": schema.CloseSessionResponse,
    "session/delete": schema.DeleteSessionResponse,
    "session/set_mode": schema.SetSessionModeResponse,
    "session/set_config_option": schema.SetSessionConfigOptionResponse,
    "session/prompt": schema.PromptResponse,
}
"""The agent's answers, by the client's method."""

REQUESTS: dict[str, tuple[type[BaseModel], str]] = {
    "session/request_permission": (schema.RequestPermissionRequest, ""),
    "fs/read_text_file": (schema.ReadTextFileRequest, "readTextFile"),
    "fs/write_text_file": (schema.WriteTextFileRequest, "writeTextFile"),
    "terminal/create": (schema.CreateTerminalRequest, "terminal"),
    "terminal/output": (schema.TerminalOutputRequest, "terminal"),
    "terminal/wait_for_exit": (schema.WaitForTerminalExitRequest, "terminal"),
    "terminal/kill": (schema.KillTerminalRequest, "terminal"),
    "terminal/release": (schema.ReleaseTerminalRequest, "terminal"),
}
"""The agent's requests, each with the capability that the client must have declared."""

ELICITATIONS: dict[str, type[BaseModel]] = {
    "form": schema.CreateFormSessionElicitationRequest,
    "url": schema.CreateUrlSessionElicitationRequest,
}
"""The params of `elicitation/create` by their mode, which is the capability that the client must have declared."""

OPENING = ("session/new", "session/load", "session/resume", "session/fork")
CLOSING = ("session/close", "session/delete")
CHUNKS = {"user_message_chunk", "agent_message_chunk", "agent_thought_chunk"}
OF_A_TURN = {*CHUNKS, "tool_call", "tool_call_update", "plan"}
THINKING = "Thinking"
OF_A_THOUGHT = re.compile(rf"{THINKING}( · ((\d[\d,]* min )?\d+ s, )?\d[\d,]* tokens?)?")
"""All that may be said of a thought."""
FINAL = {"completed", "failed"}

Message = dict[str, Any]


class Notice(BaseModel):
    """Of ACP's schema since 1.25, which the SDK does not know yet (rfds/session-notices)."""

    model_config = ConfigDict(extra="forbid")

    session_update: Literal["notice"] = Field(alias="sessionUpdate")
    severity: Literal["info", "warning", "error"]
    title: str = Field(min_length=1)
    description: str | None = None


class CompactionUpdate(BaseModel):
    """Likewise (rfds/session-compaction)."""

    model_config = ConfigDict(extra="forbid")

    session_update: Literal["compaction_update"] = Field(alias="sessionUpdate")
    compaction_id: str = Field(alias="compactionId")
    status: Literal["in_progress", "completed", "failed", "cancelled"]
    summary: list[schema.TextContentBlock] | None = None
    error: str | None = None

    @model_validator(mode="after")
    def _fields_suit_the_status(self) -> Self:
        assert not self.summary or self.status == "completed"
        assert not self.error or self.status == "failed"
        return self


UNKNOWN_TO_THE_SDK: dict[str, tuple[type[BaseModel], str]] = {
    "notice": (Notice, "notices"),
    "compaction_update": (CompactionUpdate, "compaction"),
}
"""Updates, each with the capability that the client must have declared."""


class Conversation:
    """One connection, judged line by line, in the order in which either side or an observer saw the lines."""

    def __init__(self) -> None:
        self._unanswered: dict[str, Message] = {}
        self._capabilities: set[str] = set()
        self._sessions: set[str] = set()
        self._calls: dict[str, dict[str, str]] = {}
        self._ended_messages: set[tuple[str, str]] = set()
        self._last_messages: dict[str, str | None] = {}
        self._last_thoughts: dict[str, tuple[str, str]] = {}
        self._agents_requests: set[str] = set()

    def client_said(self, message: Any) -> None:
        """Take a line from the client, which may be anything."""
        if not isinstance(message, dict) or "method" not in message or "id" not in message:
            return
        self._unanswered[json.dumps(message["id"])] = message
        params = message.get("params")
        if not isinstance(params, dict):
            return
        if message["method"] == "initialize":
            self._capabilities = _declared(params)
        if message["method"] == "session/load" and isinstance(params.get("sessionId"), str):
            self._forget(params["sessionId"])

    def agent_said(self, line: bytes) -> Message:
        """Return the message in a line of the agent's, or fail."""
        assert line.endswith(b"\n")
        assert len(line) < LONGEST_LINE
        message = json.loads(line.decode("utf-8"))
        assert message["jsonrpc"] == "2.0"
        if "method" not in message:
            self._answer(message)
        elif "id" in message:
            self._request(message)
        else:
            assert message.keys() == {"jsonrpc", "method", "params"}
            self._notification(message["method"], message["params"])
        return dict(message)

    def _answer(self, message: Message) -> None:
        if "error" in message:
            assert message.keys() == {"jsonrpc", "id", "error"}
            check(schema.Error, message["error"])
            # What the client sent was no request, or had no id that could be read.
            if message["id"] is None and "null" not in self._unanswered:
                return
        else:
            assert message.keys() == {"jsonrpc", "id", "result"}
        asked = self._unanswered.pop(json.dumps(message["id"]), None)
        assert asked is not None, f"an answer to no request, or a second one: {message}"
        params = asked.get("params")
        session = params.get("sessionId") if isinstance(params, dict) else None
        if "result" in message:
            method = asked["method"]
            check(ANSWERS[method], message["result"])
            if method in OPENING:
                self._sessions.add(str(message["result"].get("sessionId") or session))
            elif method in CLOSING:
                self._sessions.discard(str(session))
        if asked["method"] in {"session/prompt", "session/load"} and self._is_pending("session/load", session):
            self._forget(str(session))  # what came until now came before the replay
        if asked["method"] == "session/prompt" and not self._is_busy(session):
            unfinished = {call for call, status in self._calls.get(session or "", {}).items() if status not in FINAL}
            assert not unfinished, f"tool calls that outlive their turn: {unfinished}"
            assert not self._is_thinking(session), "a thought that outlives its turn"

    def _request(self, message: Message) -> None:
        assert message.keys() == {"jsonrpc", "id", "method", "params"}
        if message["method"] == "elicitation/create":
            capability = message["params"]["mode"]
            model = ELICITATIONS[capability]
        else:
            model, capability = REQUESTS[message["method"]]
        check(model, message["params"])
        assert not capability or capability in self._capabilities, f"the client did not declare {capability}"
        identifier = json.dumps(message["id"])
        assert identifier not in self._agents_requests, f"an id used twice: {identifier}"
        self._agents_requests.add(identifier)
        if message["method"] == "session/request_permission":
            session, call = message["params"]["sessionId"], message["params"]["toolCall"]["toolCallId"]
            assert self._calls[session][call] not in FINAL, "permission for a tool call that has ended"

    def _notification(self, method: str, params: Message) -> None:
        if method == "$/cancel_request":
            check(schema.CancelRequestNotification, params)
            assert json.dumps(params["requestId"]) in self._agents_requests, "a cancel of no request"
            return
        assert method == "session/update"
        self._update(params)

    def _update(self, params: Message) -> None:
        session, update = params["sessionId"], params["update"]
        kind = update["sessionUpdate"]
        if kind in UNKNOWN_TO_THE_SDK:
            model, capability = UNKNOWN_TO_THE_SDK[kind]
            assert capability in self._capabilities, f"the client did not declare {capability}"
            check(model, update)
        else:
            check(schema.SessionNotification, {**params, "update": _less_names(update)})
        loading = self._is_pending("session/load", session)
        assert loading or session in self._sessions, f"an update of a session that the client does not know: {params}"
        if kind not in OF_A_TURN:
            return
        assert loading or self._is_busy(session), f"{kind} when no turn runs: {params}"
        if kind == "agent_thought_chunk":
            assert self._is_busy(session), f"a thought in a replay: {params}"
            self._thought(session, update)
        else:
            assert not self._is_thinking(session), f"{kind} amid a thought: {params}"
        if kind in CHUNKS:
            self._chunk(session, update["messageId"])
        elif kind != "plan":
            self._call(session, update)

    def _forget(self, session: str) -> None:
        """A replay begins: it may say again what was said."""
        self._calls.pop(session, None)
        self._last_messages.pop(session, None)
        self._ended_messages = {(of, message) for of, message in self._ended_messages if of != session}

    def _thought(self, session: str, update: Message) -> None:
        last, said = self._last_thoughts.get(session, ("", ""))
        goes_on = last == update["messageId"]
        assert goes_on or not self._is_thinking(session), f"a thought amid another: {update}"
        text = (said if goes_on else "") + update["content"]["text"]
        assert OF_A_THOUGHT.fullmatch(text), f"said of a thought: {text!r}"
        self._last_thoughts[session] = update["messageId"], text

    def _is_thinking(self, session: Any) -> bool:
        return self._last_thoughts.get(session, ("", ""))[1] == THINKING

    def _chunk(self, session: str, identifier: str) -> None:
        last = self._last_messages.get(session)
        if last != identifier:
            assert (session, identifier) not in self._ended_messages, f"a message that had ended goes on: {identifier}"
            if last is not None:
                self._ended_messages.add((session, last))
            self._last_messages[session] = identifier

    def _call(self, session: str, update: Message) -> None:
        calls, identifier = self._calls.setdefault(session, {}), update["toolCallId"]
        if update["sessionUpdate"] == "tool_call":
            assert identifier not in calls, f"a tool call that exists already: {identifier}"
            calls[identifier] = update.get("status", "pending")
            return
        assert identifier in calls, f"an update of no tool call: {identifier}"
        assert calls[identifier] not in FINAL, f"an update of a tool call that has ended: {update}"
        status = update.get("status", calls[identifier])
        assert not (status == "pending" and calls[identifier] == "in_progress"), f"a tool call that goes back: {update}"
        calls[identifier] = status

    def _is_busy(self, session: Any) -> bool:
        return self._is_pending("session/prompt", session)

    def _is_pending(self, method: str, session: Any) -> bool:
        return any(
            asked["method"] == method
            and isinstance(asked.get("params"), dict)
            and asked["params"].get("sessionId") == session
            for asked in self._unanswered.values()
        )


def check(model: type[BaseModel], content: Any) -> None:
    """Fail unless `content` is valid and holds nothing that the schema does not know."""
    understood = model.model_validate(content).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert understood == content


def _less_names(update: Message) -> Message:
    """Return an update without the name of its tool: of ACP's schema since 1.22, which the SDK does not know yet."""
    if update["sessionUpdate"] != "tool_call":
        return update
    assert isinstance(update.get("name", ""), str)
    return {field: value for field, value in update.items() if field != "name"}


def check_trace(file: Path) -> None:
    """Judge the connection that a program has recorded with `--trace`."""
    conversation = Conversation()
    for line in file.read_text("utf-8").splitlines():
        direction, _, said = line.partition(" ")
        if direction == "<-":
            conversation.client_said(parsed(said))
        elif direction == "->":
            conversation.agent_said(said.encode() + b"\n")


def parsed(line: str | bytes) -> Any:
    """Return what a line of the client's says, or None if it is no JSON."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _declared(params: Message) -> set[str]:
    capabilities = params.get("clientCapabilities") or {}
    files = capabilities.get("fs") or {}
    names = {name for name in ("readTextFile", "writeTextFile") if files.get(name)}
    names |= {"terminal"} if capabilities.get("terminal") else set()
    session = capabilities.get("session") or {}
    elicitation = capabilities.get("elicitation") or {}
    names |= {name for name in ELICITATIONS if elicitation.get(name) is not None}
    return names | {name for name in ("compaction", "notices") if session.get(name) is not None}
