"""A form as it is filled in at a terminal: a line for each field, and an empty one where there is nothing to say.

Knows ACP's elicitations. Knows nothing about who asks.
"""

from __future__ import annotations

import contextlib
import math
import re
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
_EMPTY_LINES = re.compile(r"\n(?:[ \t]*\n)+")


async def filled_in(console: Console, elicitation: Elicitation) -> Answered:
    """Show a form or an address, and return what the user does with it; `elicitation` holds nothing that is not seen.

    Raises:
        KeyboardInterrupt, EOFError: the user has had enough.
    """
    console.print()
    _quote(console, elicitation["message"])
    if elicitation["mode"] == "url":
        _quote(console, elicitation["url"], style="bold")
        return Answered("accept" if await _has_been_there() else "decline")
    schema = elicitation["requestedSchema"]
    for name in ("title", "description"):
        if told := schema.get(name):
            _quote(console, told)
    content: dict[str, Any] = {}
    for name, field in schema["properties"].items():
        must = name in schema.get("required", ())
        value = await _value(console, name, field, must=must)
        if value is not None:
            content[name] = value
        elif must:
            break
    else:
        if content:
            return Answered("accept", content)
    console.print(Text("Nothing is answered.", style="dim"))
    return Answered("decline")


async def _has_been_there() -> bool:
    for _ in range(MOST_TRIES):
        typed = (await typed_line("Have you been there? (y/n): ")).lower()
        if typed in (*_YES, *_NO, ""):
            return typed in _YES
    return False


async def _value(console: Console, name: str, field: Mapping[str, Any], *, must: bool) -> Any:
    """Return what is typed for a field, None where nothing is, or nothing that fits."""
    choices, default = _choices(field), _default(name, field)
    _describe(console, name, field, choices, default)
    can_be_empty = ", or empty" if default is not None or not must else ""
    for _ in range(MOST_TRIES):
        typed = await typed_line(f"{_kind(field, choices)}{can_be_empty}: ")
        if not typed:
            return default
        try:
            value = _fitting(name, field, _read(typed, field, choices))
        except ValueError:
            console.print(Text("That does not fit.", style="yellow"))
        except ToolError as error:
            console.print(Text(as_sentence(str(error)), style="yellow"))
        else:
            if choices:
                console.print(Text(f"  {_shown(value, choices)}", style="dim"))
            return value
    if not must:
        console.print(Text("It is left empty.", style="dim"))
    return None


def _describe(
    console: Console, name: str, field: Mapping[str, Any], choices: Sequence[tuple[str, str]], default: Any
) -> None:
    _quote(console, _on_one_line(field.get("title") or name), style="bold")
    if description := field.get("description"):
        _quote(console, description, style="dim")
    for number, (_, title) in enumerate(choices, 1):
        _quote(console, f"  {number}  {title}")
    if default not in (None, "", []):
        _quote(console, f"Left empty it is {_shown(default, choices)}", style="dim")


def _quote(console: Console, text: str, style: str = "") -> None:
    """Print what somebody asks so that it can't be taken for ours, nor push ours off the screen.

    Not as Markdown: of that a part is not seen, as what is a comment, or where a link leads.
    """
    for line in Text(_EMPTY_LINES.sub("\n\n", text.strip("\n")), style=style).wrap(console, max(1, console.width - 2)):
        console.print(Text.assemble(("| ", "dim"), line))


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


async def typed_line(prompt: str) -> str:
    """Return what is typed behind `prompt`, without the blanks around it.

    Raises:
        KeyboardInterrupt, EOFError: the user has had enough.
    """
    session: PromptSession[str] = PromptSession()
    # Ctrl-C is a key here, and a signal again afterwards: a handler of its own would take the turn's away.
    return (await session.prompt_async(prompt, handle_sigint=False)).strip()


def _choices(field: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the values that a field may have, each with what it is called."""
    inside = field.get("items", {}) if field["type"] == "array" else field
    named = inside.get("oneOf") or inside.get("anyOf") or [{"const": value} for value in inside.get("enum", ())]
    return [(option["const"], _on_one_line(option.get("title") or "") or option["const"]) for option in named]


def _default(name: str, field: Mapping[str, Any]) -> Any:
    """Return what a field holds when it is left empty, None where that is nothing, or nothing that fits."""
    with contextlib.suppress(ToolError):
        return _fitting(name, field, field.get("default"))
    return None


def _fitting(name: str, field: Mapping[str, Any], value: Any) -> Any:
    return forms.filled_in({name: value}, {"properties": {name: field}}).get(name)


def _kind(field: Mapping[str, Any], choices: Sequence[Any]) -> str:
    """Return what is to be typed."""
    match field["type"]:
        case "boolean":
            return "y/n"
        case "array":
            return f"1-{len(choices)}, with commas"
        case "string":
            return f"1-{len(choices)}" if choices else "Text"
        case _:
            least, most = field.get("minimum"), field.get("maximum")
            return "A number" if least is None or most is None else f"A number from {least} to {most}"


def _shown(value: Any, choices: Sequence[tuple[str, str]]) -> str:
    """Return a value as it is called."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    names = dict(choices)
    return ", ".join(str(names.get(each, each)) for each in (value if isinstance(value, list) else [value]))


def _read(typed: str, field: Mapping[str, Any], choices: Sequence[tuple[str, str]]) -> Any:
    """Return the value that is typed.

    Raises:
        ValueError: it is none that the field can have.
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


def _chosen(typed: str, choices: Sequence[tuple[str, str]]) -> str:
    """Return the value of the number that is shown before it, else of its name; values themselves are not seen."""
    if typed.isdecimal() and 1 <= int(typed) <= len(choices):
        return choices[int(typed) - 1][0]
    for value, title in choices:
        if typed in (title, value):
            return value
    raise ValueError
