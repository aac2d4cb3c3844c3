"""Harmony messages to token ids, by openai-harmony's own rendering.

Knows roles, channels and headers. Knows nothing about the ledger, the engine or ACP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from openai_harmony import (
    Author,
    DeveloperContent,
    Message,
    ReasoningEffort,
    RenderOptions,
    Role,
    SystemContent,
    ToolDescription,
)

from gptoss_acp.harmony import encoding

Effort = Literal["low", "medium", "high"]

ASSISTANT_START = (encoding.START, 173781)
"""`<|start|>assistant`: what the model is given to speak."""


@dataclass(frozen=True)
class FunctionTool:
    """A tool as the model is told of it; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]


def system(effort: Effort, today: date, *, has_tools: bool) -> list[int]:
    """Render the system message: identity, date, reasoning effort and channels."""
    content = (
        SystemContent.new()
        .with_reasoning_effort(ReasoningEffort[effort.upper()])
        .with_conversation_start_date(today.isoformat())
    )
    return _render(Message.from_role_and_content(Role.SYSTEM, content), has_tools=has_tools)


def developer(instructions: str, tools: Sequence[FunctionTool]) -> list[int]:
    """Render the developer message: instructions, then the tools in namespace `functions`."""
    content = DeveloperContent.new().with_instructions(instructions)
    if tools:
        descriptions = [ToolDescription.new(tool.name, tool.description, tool.parameters) for tool in tools]
        content = content.with_function_tools(descriptions)
    return _render(Message.from_role_and_content(Role.DEVELOPER, content))


def user(text: str) -> list[int]:
    """Render a user message; control tokens spelt out in `text` stay ordinary text."""
    return _render(Message.from_role_and_content(Role.USER, text))


def tool_result(recipient: str, channel: str, text: str) -> list[int]:
    """Render what the tool `recipient` (such as `functions.shell`) answers to the assistant."""
    author = Author.new(Role.TOOL, recipient)
    message = Message.from_author_and_content(author, text).with_channel(channel).with_recipient("assistant")
    return _render(message)


def _render(message: Message, *, has_tools: bool = False) -> list[int]:
    ids: list[int] = encoding.load().render(message, RenderOptions(conversation_has_function_tools=has_tools))
    return ids
