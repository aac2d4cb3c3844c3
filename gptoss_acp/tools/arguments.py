"""The arguments of tools: typed models, the JSON schemas that the model is told, and reading what it sends.

Knows pydantic, and by which other names gpt-oss gives arguments. Knows nothing about what a tool does.
"""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.lenient_json import ArgumentError, read_object

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "command": ("cmd", "commands", "command_line", "cmdline", "script", "code"),
    "workdir": ("cwd", "working_directory", "working_dir", "work_dir", "directory", "dir"),
    "timeout": ("timeout_ms", "timeout_milliseconds", "timeout_seconds", "timeout_sec", "timeout_s"),
    "path": ("file_path", "file", "filepath", "filename", "file_name", "target_file", "directory", "dir", "folder"),
    "line_start": ("start_line", "start", "line_from", "from_line", "first_line", "offset", "line", "line_number"),
    "line_end": ("end_line", "end", "line_to", "to_line", "last_line"),
    "line_numbers": ("show_line_numbers", "numbered"),
    "depth": ("max_depth", "levels", "level"),
    "query": ("pattern", "regex", "search", "search_term", "text", "string", "q"),
    "max_results": ("limit", "max", "max_count", "head_limit", "n"),
    "glob": ("include", "file_pattern", "file_glob", "filter"),
    "plan": ("steps", "todos", "tasks", "items"),
    "step": ("content", "description", "title", "task", "text", "name"),
    "status": ("state",),
}
"""By which names gpt-oss gives an argument besides its own; of two that are given, the earlier counts."""

_WRAPPERS = ("arguments", "args", "input", "parameters", "params", "kwargs")
_KEPT = ("type", "description", "properties", "items", "enum", "required", "default")
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def text_names(name: str) -> tuple[str, ...]:
    """Return the names by which the one text of a tool is given, where `name` is its own."""
    return (name, "input", "diff", "text", "content", "code", "cmd", "command", *_WRAPPERS)


class Arguments(BaseModel):
    """The arguments of one tool. Those left out, or null, take their defaults.

    `bare` is the argument that a text is which is no JSON at all; `untold` are further names, which `as_meant` reads.
    """

    model_config = ConfigDict(extra="forbid")

    bare: ClassVar[str | None] = None
    untold: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def given(cls, text: str, notes: list[str]) -> dict[str, Any]:
        """Return the arguments in `text` as the model has given them, by their own names; `notes` say what is left out.

        Raises:
            ArgumentError: they can't be read.
        """
        begun_as_json = text.lstrip(" \t\r\n\ufeff").startswith(("{", "[", '"', "```"))
        try:
            given = _without_wrapper(read_object(text, notes), cls.model_fields)
        except ArgumentError:
            told = _string(text) if begun_as_json else text
            if cls.bare is None or told is None:
                raise
            return {cls.bare: told.strip()}
        # An object in the middle of a command line is no arguments.
        if (
            cls.bare
            and text.strip()
            and not begun_as_json
            and not any(own_name(name, cls.model_fields) for name in given)
        ):
            notes.clear()
            return {cls.bare: text.strip()}
        return cls._named(given, notes)

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """Return the arguments that `given` holds by their own names.

        Raises:
            ToolError: which of them is wrong, and how.
        """
        try:
            return cls.model_validate(cls.as_meant(given))
        except ValidationError as error:
            problems = [_problem(detail) for detail in error.errors(include_url=False, include_input=False)[:5]]
            raise ToolError("invalid arguments: " + "; ".join(problems)) from None

    @classmethod
    def as_meant(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Return `given` with the values that gpt-oss spells in ways of its own spelt as the tool wants them."""
        return given

    @classmethod
    def told_schema(cls) -> dict[str, Any]:
        """Return the JSON schema as the model is told of it: without titles, bounds and references."""
        schema = cls.model_json_schema()
        told: dict[str, Any] = _told(schema, schema.get("$defs", {}))
        return told

    @classmethod
    def _named(cls, given: dict[str, Any], notes: list[str]) -> dict[str, Any]:
        own = {name: own_name(name, cls.model_fields) or (name if name in cls.untold else None) for name in given}
        unknown = [name[:60] for name in given if own[name] is None and given[name] is not None]
        if unknown:
            known = ", ".join(cls.told_schema()["properties"])
            notes.append(f"(ignored: {', '.join(unknown[:5])}; the arguments are {known})")
        # What goes by its own name comes last, and so counts.
        order = sorted(given, key=lambda name: name in cls.model_fields)
        return {own[name] or "": given[name] for name in order if own[name] and given[name] is not None}


def own_name(name: str, known: Any) -> str | None:
    """Return which of the `known` arguments a name means: its own in another case, or one that is like it."""
    plain = _CAPITAL.sub(r"_\1", name).lower().replace("-", "_").replace(" ", "_")
    if plain in known:
        return plain
    return next((own for own in known if plain in OTHER_NAMES.get(own, ())), None)


def _without_wrapper(given: dict[str, Any], known: Any) -> dict[str, Any]:
    """Return the arguments inside an object such as {"name": …, "arguments": {…}}."""
    if any(own_name(name, known) for name in given if name not in {*_WRAPPERS, "name"}):
        return given
    for wrapper in _WRAPPERS:
        inside = given.get(wrapper)
        if isinstance(inside, str):
            try:
                inside = json.loads(inside, strict=False)
            except (ValueError, RecursionError):
                continue
        if isinstance(inside, dict):
            return inside
    return given


def _string(text: str) -> str | None:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def _problem(detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"])[:100]
    return f"{name}: {detail['msg'][:200]}" if name else str(detail["msg"])[:200]


def _told(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in schema:
        given = next(choice for choice in schema["anyOf"] if choice.get("type") != "null")
        schema = given | {name: value for name, value in schema.items() if name != "anyOf"}
    told = {name: schema[name] for name in _KEPT if schema.get(name) is not None}
    if "properties" in told:
        told["properties"] = {name: _told(value, definitions) for name, value in told["properties"].items()}
        told.pop("description", None)
    if "items" in told:
        told["items"] = _told(told["items"], definitions)
    return told
