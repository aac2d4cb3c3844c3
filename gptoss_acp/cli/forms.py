"""A form as it is filled in at a terminal: a line for each field, and an empty one where there is nothing to say.

Knows ACP's elicitations. Knows nothing about who asks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from rich.text import Text

from gptoss_acp.errors import ToolError
from gptoss_acp.protocol.face import Answered
from gptoss_acp.text import as_sentence
from gptoss_acp.tools import forms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from gptoss_acp.protocol.shapes import Elicitation

MOST_TRIES = 3

_YES, _NO = ("y", "yes", "true"), ("n", "no", "false")


async def filled_in(console: Console, elicitation: Elicitation) -> Answered:
    """Show a form or an address, and return what the user does with it; `elicitation` holds nothing that is not seen.

    Raises:
        KeyboardInterrupt, EOFError: the user has had enough.
    """
    console.print()
    console.print(Text(elicitation["message"]))  # of Markdown a part is not seen: what is a comment, where a link leads
    if elicitation["mode"] == "url":
        console.print(Text(elicitation["url"], style="bold"))
        return Answered("accept" if await _line("Have you been there? (y/n): ") in _YES else "decline")
    schema = elicitation["requestedSchema"]
    content: dict[str, Any] = {}
    for name, field in schema["properties"].items():
        value = await _value(console, name, field, must=name in schema.get("required", ()))
        if value is not None:
            content[name] = value
        elif name in schema.get("required", ()):
            break
    else:
        if content:
            return Answered("accept", content)
    console.print(Text("Nothing is answered.", style="dim"))
    return Answered("decline")


async def _value(console: Console, name: str, field: Mapping[str, Any], *, must: bool) -> Any:
    """Return what is typed for a field, None where nothing is, or nothing that fits."""
    choices = _choices(field)
    for number, (_, title) in enumerate(choices, 1):
        console.print(Text(f"  {number}  {title}"))
    if description := field.get("description"):
        console.print(Text(description, style="dim"))
    for _ in range(MOST_TRIES):
        typed = await _line(f"{field.get('title') or name}{_hint(field, choices, must=must)}: ")
        if not typed:
            return field.get("default")
        try:
            value = _read(typed, field, [value for value, _ in choices])
            return forms.filled_in({name: value}, {"properties": {name: field}})[name]
        except (ValueError, IndexError):
            console.print(Text("That does not fit.", style="yellow"))
        except ToolError as error:
            console.print(Text(as_sentence(str(error)), style="yellow"))
    return None


async def _line(prompt: str) -> str:
    session: PromptSession[str] = PromptSession()
    # Ctrl-C is a key here, and a signal again afterwards: a handler of its own would take the turn's away.
    return (await session.prompt_async(prompt, handle_sigint=False)).strip()


def _choices(field: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the values that a field may have, each with what it is called."""
    inside = field.get("items", {}) if field["type"] == "array" else field
    named = inside.get("oneOf") or inside.get("anyOf") or [{"const": value} for value in inside.get("enum", ())]
    return [(option["const"], option.get("title") or option["const"]) for option in named]


def _hint(field: Mapping[str, Any], choices: Sequence[Any], *, must: bool) -> str:
    hints = {
        "boolean": "y/n",
        "array": f"1-{len(choices)}, with commas",
        "string": f"1-{len(choices)}" if choices else "",
    }
    empty = f"empty: {field['default']}" if "default" in field else "" if must else "optional"
    told = "; ".join(filter(None, [hints.get(field["type"], "a number"), empty]))
    return f" ({told})" if told else ""


def _read(typed: str, field: Mapping[str, Any], choices: Sequence[str]) -> Any:
    """Return the value that is typed.

    Raises:
        ValueError, IndexError: it is none that the field can have.
    """
    match field["type"]:
        case "boolean":
            if typed.lower() not in (*_YES, *_NO):
                raise ValueError
            return typed.lower() in _YES
        case "integer":
            return int(typed)
        case "number":
            if not math.isfinite(number := float(typed)):
                raise ValueError
            return number
        case "array":
            return [_chosen(part.strip(), choices) for part in typed.split(",")]
        case _:
            return _chosen(typed, choices) if choices else typed


def _chosen(typed: str, choices: Sequence[str]) -> str:
    if typed in choices:
        return typed
    if int(typed) < 1:
        raise ValueError
    return choices[int(typed) - 1]
