"""Harmony messages to token ids, by openai-harmony's own rendering.

Knows roles, channels and headers. Knows nothing about the ledger, the engine or ACP.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from openai_harmony import (
    DeveloperContent,
    Message,
    ReasoningEffort,
    RenderOptions,
    Role,
    SystemContent,
    ToolNamespaceConfig,
)
from openai_harmony import ToolDescription as HarmonyTool

from gptoss_acp import settings, vocabulary
from gptoss_acp.harmony import encoding
from gptoss_acp.tool_description import FUNCTIONS, ToolDescription

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

Effort = settings.Effort

ASSISTANT_START = (vocabulary.START, 173781)
"""`<|start|>assistant`: what the model is given to speak."""

CODE = "code"
"""The content type of a call to a tool in a namespace of its own; those of functions are `<|constrain|>json`."""

FINAL_START = (vocabulary.CHANNEL, 17196, vocabulary.MESSAGE)
"""`<|channel|>final<|message|>`: given after it, the model can only answer."""

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


def tellable(tool: ToolDescription) -> ToolDescription:
    """Return a tool that others have described: one that takes any object, where its parameters can't be rendered."""
    try:
        developer("", [tool])
    except (ValueError, RecursionError):
        return ToolDescription(tool.name, tool.description, {"type": "object"})
    return tool


def system(effort: Effort, today: date, tools: Sequence[ToolDescription]) -> list[int]:
    """Render the system message: identity, date, reasoning effort, the tools that are no functions, and channels."""
    content = (
        SystemContent.new()
        .with_reasoning_effort(ReasoningEffort[effort.upper()])
        .with_conversation_start_date(today.isoformat())
    )
    namespaces: dict[str, list[HarmonyTool]] = {}
    for tool in tools:
        namespaces.setdefault(tool.namespace, []).append(_harmony_tool(tool))
    has_functions = namespaces.pop(FUNCTIONS, None) is not None
    for namespace, described in namespaces.items():
        content = content.with_tools(ToolNamespaceConfig(name=namespace, tools=described))
    return _render(Message.from_role_and_content(Role.SYSTEM, content), has_functions=has_functions)


def developer(instructions: str, tools: Sequence[ToolDescription]) -> list[int]:
    """Render the developer message: instructions, then those of the tools that are functions."""
    content = DeveloperContent.new().with_instructions(_encodable(instructions))
    if functions := [_harmony_tool(tool) for tool in tools if tool.namespace == FUNCTIONS]:
        content = content.with_function_tools(functions)
    return _render(Message.from_role_and_content(Role.DEVELOPER, content))


def user(text: str) -> list[int]:
    """Render a user message; control tokens spelt out in `text` stay ordinary text."""
    return [vocabulary.START, *encoding.encode_text("user"), *_content(text)]


def tool_result(recipient: str, channel: str, text: str) -> list[int]:
    """Render what the tool `recipient` (such as `container.exec`) answers to the assistant."""
    header = [*encoding.encode_text(recipient), *encoding.encode_text(" to=assistant")]
    return [vocabulary.START, *header, vocabulary.CHANNEL, *encoding.encode_text(channel), *_content(text)]


def assistant_start(channel: str, recipient: str | None, content_type: str | None) -> list[int]:
    """Render an assistant's header, from `<|start|>` to `<|message|>`, in the order in which the model samples it.

    openai-harmony would put the recipient before the channel: from a history so rendered the model learns to drift.
    """
    to = f" to={recipient}" if recipient else ""
    tokens = [*ASSISTANT_START, vocabulary.CHANNEL, *encoding.encode_text(f"{channel}{to}")]
    if content_type == CODE:
        tokens += encoding.encode_text(f" {CODE}")
    elif content_type:
        tokens += [*encoding.encode_text(" "), vocabulary.CONSTRAIN, *encoding.encode_text(content_type)]
    return [*tokens, vocabulary.MESSAGE]


def _harmony_tool(tool: ToolDescription) -> HarmonyTool:
    parameters = _encodable_json(tool.parameters)
    takes_nothing = parameters.get("properties") == {} and not parameters.get("additionalProperties")
    return HarmonyTool.new(
        tool.name, _encodable(tool.description), parameters=None if takes_nothing else _typescript_safe(parameters)
    )


def _typescript_safe(schema: Any) -> Any:
    """Return `schema` so that what openai-harmony writes of it is TypeScript, and says what it means.

    Property names that are no identifiers are quoted, descriptions, which become comments, are one line each, and an
    object of which nothing is known is no empty one.
    """
    if isinstance(schema, list):
        return [_typescript_safe(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    safe = {name: _typescript_safe(value) for name, value in schema.items() if name != "properties"}
    if isinstance(properties := schema.get("properties"), dict):
        safe["properties"] = {_property_name(name): _typescript_safe(value) for name, value in properties.items()}
        if isinstance(required := safe.get("required"), list):
            safe["required"] = [_property_name(name) for name in required if isinstance(name, str)]
    elif schema.get("type") == "object":
        del safe["type"]
    if isinstance(description := safe.get("description"), str):
        safe["description"] = " ".join(description.split())
    return safe


def _property_name(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _encodable(text: str) -> str:
    """Return `text` with U+FFFD for lone surrogates, which openai-harmony refuses to render."""
    return _LONE_SURROGATES.sub("\ufffd", text)


def _encodable_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return `value` as openai-harmony can read it: no lone surrogates, null for NaN and infinities."""
    encoded = _encodable(json.dumps(value, ensure_ascii=False))
    read: dict[str, Any] = json.loads(encoded, parse_constant=lambda _name: None)
    return read


def _content(text: str) -> list[int]:
    # Not by openai-harmony, which renders the same, but all at once.
    return [vocabulary.MESSAGE, *encoding.encode_text(_encodable(text)), vocabulary.END]


def _render(message: Message, *, has_functions: bool = False) -> list[int]:
    options = RenderOptions(conversation_has_function_tools=has_functions)
    tokens: list[int] = encoding.load().render(message, options)
    return tokens
