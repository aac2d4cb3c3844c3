"""The shapes of what a client is told, by ACP's own field names (`session/update`).

Knows the Agent Client Protocol's schema. Knows nothing about when a thing is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = "gptoss-acp"
"""What in `_meta` is ours."""

ToolCallStatus = Literal["pending", "in_progress", "completed", "failed"]
CompactionStatus = Literal["in_progress", "completed", "failed", "cancelled"]


class Text(TypedDict):
    """A text as a content block."""

    type: Literal["text"]
    text: str


class Content(TypedDict):
    """A text as a tool call shows it."""

    type: Literal["content"]
    content: Text


class Diff(TypedDict):
    """What becomes of a file; `oldText` is None where it is new, `_meta` says `deleted` where it is one no more."""

    type: Literal["diff"]
    path: str
    oldText: str | None
    newText: str
    _meta: NotRequired[dict[str, bool]]


class Terminal(TypedDict):
    """A terminal of the editor's, by its id."""

    type: Literal["terminal"]
    terminalId: str


ToolCallContent = Content | Diff | Terminal


class Location(TypedDict):
    """A place in a file; lines count from 1."""

    path: str
    line: NotRequired[int]


class PlanEntry(TypedDict):
    content: str
    priority: str
    status: str


class PermissionOption(TypedDict):
    optionId: str
    name: str
    kind: Literal["allow_once", "allow_always", "reject_once", "reject_always"]


class CommandInput(TypedDict):
    hint: str


class AvailableCommand(TypedDict):
    name: str
    description: str
    input: NotRequired[CommandInput]


class ToolCallFields(TypedDict, total=False):
    """What may change about a tool call."""

    title: str
    kind: str
    status: ToolCallStatus
    content: Sequence[ToolCallContent]
    locations: Sequence[Location]
    rawInput: Any
    rawOutput: Any


class ToolCallState(ToolCallFields):
    """A tool call as a question about it shows it."""

    toolCallId: str


class UserMessageChunk(TypedDict):
    """A piece of what the user has said, as the client sent it."""

    sessionUpdate: Literal["user_message_chunk"]
    messageId: str
    content: dict[str, Any]


Channel = Literal["final", "commentary"]


class AgentMessageChunk(TypedDict):
    """A piece of a message; `_meta` says whether that is an answer, under the program's name as `channel`."""

    sessionUpdate: Literal["agent_message_chunk"]
    messageId: str
    content: Text
    _meta: NotRequired[dict[str, dict[str, Channel]]]


class AgentThoughtChunk(TypedDict):
    """A piece of what is said about the model's thinking; never of what it thinks."""

    sessionUpdate: Literal["agent_thought_chunk"]
    messageId: str
    content: Text


class ToolCall(ToolCallState):
    """The beginning of a tool call; `name` is the tool's as the model calls it, if there is such a tool."""

    sessionUpdate: Literal["tool_call"]
    name: NotRequired[str]


class ToolCallUpdate(ToolCallState):
    sessionUpdate: Literal["tool_call_update"]


class Plan(TypedDict):
    sessionUpdate: Literal["plan"]
    entries: Sequence[PlanEntry]


class SessionInfo(TypedDict):
    sessionUpdate: Literal["session_info_update"]
    title: str


class Usage(TypedDict):
    """Tokens of the context in use, and how many there are."""

    sessionUpdate: Literal["usage_update"]
    used: int
    size: int


class CurrentMode(TypedDict):
    sessionUpdate: Literal["current_mode_update"]
    currentModeId: str


class ConfigOptions(TypedDict):
    sessionUpdate: Literal["config_option_update"]
    configOptions: Sequence[dict[str, Any]]


class AvailableCommands(TypedDict):
    sessionUpdate: Literal["available_commands_update"]
    availableCommands: Sequence[AvailableCommand]


class Notice(TypedDict):
    """What the user is told beside the conversation, in plain text, for clients that have declared it."""

    sessionUpdate: Literal["notice"]
    severity: Literal["info", "warning", "error"]
    title: str
    description: NotRequired[str]


class Compaction(TypedDict):
    """A compaction of the conversation, for clients that have declared it."""

    sessionUpdate: Literal["compaction_update"]
    compactionId: str
    status: CompactionStatus
    summary: NotRequired[Sequence[Text]]
    error: NotRequired[str]


class FormElicitation(TypedDict):
    """A form for the user to fill in: `requestedSchema` is of a flat object (ACP, elicitation)."""

    mode: Literal["form"]
    message: str
    requestedSchema: dict[str, Any]
    toolCallId: NotRequired[str]


class UrlElicitation(TypedDict):
    """An address for the user to visit."""

    mode: Literal["url"]
    message: str
    url: str
    elicitationId: str
    toolCallId: NotRequired[str]


Elicitation = FormElicitation | UrlElicitation

Update = (
    UserMessageChunk
    | AgentMessageChunk
    | AgentThoughtChunk
    | ToolCall
    | ToolCallUpdate
    | Plan
    | SessionInfo
    | Usage
    | CurrentMode
    | ConfigOptions
    | AvailableCommands
    | Notice
    | Compaction
)


def channel(update: AgentMessageChunk) -> Channel | None:
    """Return what kind of message a piece of the agent's belongs to, None where it only tells the user something."""
    return update.get("_meta", {}).get(OURS, {}).get("channel")


def text(said: str) -> Text:
    """Return a text as a content block."""
    return {"type": "text", "text": said}


def text_content(said: str) -> Content:
    """Return a text as a tool call shows it."""
    return {"type": "content", "content": text(said)}
