"""Harmony messages to token ids, by openai-harmony's own rendering.

Knows roles, channels and headers. Knows nothing about the ledger, the engine or ACP.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

from openai_harmony import (
    Author,
    DeveloperContent,
    Message,
    ReasoningEffort,
    RenderOptions,
    Role,
    SystemContent,
)
from openai_harmony import ToolDescription as HarmonyTool

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding
from gptoss_acp.tool_description import ToolDescription

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

Effort = Literal["low", "medium", "high"]

ASSISTANT_START = (vocabulary.START, 173781)
"""`<|start|>assistant`: what the model is given to speak."""

FINAL_START = (vocabulary.CHANNEL, 17196, vocabulary.MESSAGE)
"""`<|channel|>final<|message|>`: given after it, the model can only answer."""

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def tellable(tool: ToolDescription) -> ToolDescription:
    """Return a tool that others have described: one that takes any object, where its parameters can't be rendered."""
    try:
        developer("", [tool])
    except (ValueError, RecursionError):
        return ToolDescription(tool.name, tool.description, {"type": "object"})
    return tool


def system(effort: Effort, today: date, *, has_tools: bool) -> list[int]:
    """Render the system message: identity, date, reasoning effort and channels."""
    content = (
        SystemContent.new()
        .with_reasoning_effort(ReasoningEffort[effort.upper()])
        .with_conversation_start_date(today.isoformat())
    )
    return _render(Message.from_role_and_content(Role.SYSTEM, content), has_tools=has_tools)


def developer(instructions: str, tools: Sequence[ToolDescription]) -> list[int]:
    """Render the developer message: instructions, then the tools in namespace `functions`."""
    content = DeveloperContent.new().with_instructions(_encodable(instructions))
    if tools:
        descriptions = [
            HarmonyTool.new(tool.name, _encodable(tool.description), _encodable_json(tool.parameters)) for tool in tools
        ]
        content = content.with_function_tools(descriptions)
    return _render(Message.from_role_and_content(Role.DEVELOPER, content))


def user(text: str) -> list[int]:
    """Render a user message; control tokens spelt out in `text` stay ordinary text."""
    return _render(Message.from_role_and_content(Role.USER, _encodable(text)))


def tool_result(recipient: str, channel: str, text: str) -> list[int]:
    """Render what the tool `recipient` (such as `functions.shell`) answers to the assistant."""
    author = Author.new(Role.TOOL, recipient)
    message = Message.from_author_and_content(author, _encodable(text))
    return _render(message.with_channel(channel).with_recipient("assistant"))


def assistant_start(channel: str, recipient: str | None, content_type: str | None) -> list[int]:
    """Render an assistant's header, from `<|start|>` to `<|message|>`."""
    message = Message.from_role_and_content(Role.ASSISTANT, "").with_channel(channel)
    if recipient:
        message = message.with_recipient(recipient)
    if content_type:
        message = message.with_content_type(f"<|constrain|>{content_type}")
    return _render(message)[:-1]


def _encodable(text: str) -> str:
    """Return `text` with U+FFFD for lone surrogates, which openai-harmony refuses to render."""
    return _LONE_SURROGATES.sub("\ufffd", text)


def _encodable_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return `value` as openai-harmony can read it: no lone surrogates, null for NaN and infinities."""
    encoded = _encodable(json.dumps(value, ensure_ascii=False))
    read: dict[str, Any] = json.loads(encoded, parse_constant=lambda _name: None)
    return read


def _render(message: Message, *, has_tools: bool = False) -> list[int]:
    options = RenderOptions(conversation_has_function_tools=has_tools)
    tokens: list[int] = encoding.load().render(message, options)
    return tokens
