"""The arguments of tools: typed models, the JSON schemas that the model is told, and reading what it sends.

Knows pydantic, and by which other names gpt-oss gives arguments. Knows nothing about what a tool does.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.lenient_json import (
    MOST_WRAPPINGS,
    OBJECT,
    ArgumentError,
    as_object,
    begins_as_json,
    read_object,
    read_value,
    without_fence,
)

if TYPE_CHECKING:
    from collections.abc import Collection

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "command": ("cmd", "commands", "command_line", "cmdline", "script", "code", "patch"),
    "workdir": ("cwd", "working_directory", "working_dir", "work_dir", "directory", "dir"),
    "timeout": ("timeout_ms", "timeout_milliseconds", "time_limit"),
    "path": ("file_path", "file", "filepath", "filename", "file_name", "target_file", "directory", "dir", "folder"),
    "line_start": ("start_line", "start", "line_from", "from_line", "first_line", "offset", "line", "line_number"),
    "line_end": ("end_line", "end", "line_to", "to_line", "last_line"),
    "line_numbers": ("show_line_numbers", "numbered"),
    "depth": ("max_depth", "levels", "level"),
    "query": ("pattern", "regex", "search", "search_term", "text", "string", "q"),
    "max_results": ("limit", "max", "max_count", "head_limit", "n"),
    "glob": ("include", "file_pattern", "file_glob", "filter"),
    "question": ("prompt", "message", "text", "ask", "query"),
    "options": ("choices", "answers", "suggestions", "alternatives"),
    "plan": ("steps", "todos", "tasks", "items"),
    "step": ("content", "description", "title", "task", "text", "name"),
    "status": ("state",),
}
"""By which names gpt-oss gives an argument besides its own, which counts where both are given."""

_WRAPPERS = ("arguments", "args", "input", "parameters", "params", "kwargs")
_KEPT = ("type", "description", "properties", "items", "enum", "required", "default")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def text_names(name: str) -> tuple[str, ...]:
    """Return the names by which the one text of a tool is given, where `name` is its own."""
    return (name, "input", "diff", "text", "content", "code", "cmd", "command", *_WRAPPERS)


class Arguments(BaseModel):
    """The arguments of one tool. Those left out, or null, take their defaults.

    `bare` is the argument that a text is which is no JSON at all, `listed` the one that a JSON array is; `untold` are
    further names, which `as_meant` reads.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    bare: ClassVar[str | None] = None
    listed: ClassVar[str | None] = None
    untold: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def given(cls, text: str, notes: list[str]) -> dict[str, Any]:
        """Return the arguments in `text` as the model has given them, by their own names; `notes` say what is left out.

        Raises:
            ArgumentError: they can't be read.
        """
        text = without_fence(text)
        is_json = begins_as_json(text)
        noted: list[str] = []
        try:
            value = read_value(text, noted)
        except ArgumentError:
            if cls.bare is None or is_json or cls._is_named(text):
                raise
            return {cls.bare: text.strip()}
        # An object in the middle of a command line is no arguments.
        if cls.bare and text.strip() and not is_json and not cls._are_own(value):
            return {cls.bare: text.strip()}
        notes += noted
        return cls._named(cls._unwrapped(value, notes), notes)

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
        named: dict[str, Any] = {}
        ignored = []
        given = {name: value for name, value in given.items() if value is not None}
        for name in sorted(given, key=lambda name: name not in cls.model_fields):
            own = own_name(name, cls.model_fields, cls.untold)
            if own is None or named.setdefault(own, given[name]) != given[name]:
                ignored.append(name[:60])
        if ignored:
            known = ", ".join(cls.told_schema()["properties"])
            notes.append(f"(ignored: {', '.join(ignored[:5])}; the arguments are {known})")
        return named

    @classmethod
    def _unwrapped(cls, value: Any, notes: list[str]) -> dict[str, Any]:
        """Return the object of arguments in `value`, such as {"name": …, "arguments": {…}} or [{…}]."""
        for _ in range(MOST_WRAPPINGS):
            if isinstance(value, str) and cls.bare:
                return {cls.bare: value}
            if isinstance(value, list) and cls.listed and not any(map(cls._are_own, value)):
                return {cls.listed: value}
            value = as_object(value, notes)
            inside = None if cls._has_own(value) else _wrapped(value)
            if inside is None:
                break
            value = inside
        return as_object(value, notes)

    @classmethod
    def _are_own(cls, value: Any) -> bool:
        """Whether `value` is an object that has one of the arguments, or wraps one that has."""
        for _ in range(MOST_WRAPPINGS):
            if not isinstance(value, dict) or cls._has_own(value):
                return isinstance(value, dict)
            value = _wrapped(value)
        return False

    @classmethod
    def _has_own(cls, given: dict[str, Any]) -> bool:
        return any(own_name(name, cls.model_fields) for name in given)

    @classmethod
    def _is_named(cls, text: str) -> bool:
        """Whether an object in `text` that can't be read begins with one of the arguments."""
        begun = OBJECT.search(text)
        return begun is not None and own_name(begun["name"], cls.model_fields) is not None


def given_to_other(text: str, known: Collection[str], notes: list[str]) -> dict[str, Any]:
    """Return the arguments in `text` for a tool that others wrote and that knows the arguments `known`.

    Raises:
        ArgumentError: they can't be read.
    """
    given = read_object(text, notes)
    inside = None if any(name in known for name in given) else _wrapped(given)
    return inside if isinstance(inside, dict) and any(name in known for name in inside) else given


def as_list(value: Any) -> Any:
    """Return the list that a text spells, as JSON or an item a line; what is no text stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, strict=False)
    except (ValueError, RecursionError):
        return [line.strip() for line in value.splitlines() if line.strip()]


def as_number(value: Any) -> float | None:
    """Return the number that `value` is or spells."""
    return float(value) if _NUMBER.fullmatch(str(value)) else None


def own_name(name: str, known: Collection[str], untold: Collection[str] = ()) -> str | None:
    """Return which of the `known` arguments a name means: its own in another case, or one that is like it."""
    plain = _CAPITAL.sub(r"_\1", name).lower().replace("-", "_").replace(" ", "_")
    if plain in known or plain in untold:
        return plain
    return next((own for own in known if plain in OTHER_NAMES.get(own, ())), None)


def _wrapped(given: dict[str, Any]) -> Any:
    """Return the arguments that an object without any of its own wraps, None where it wraps none."""
    name = next((name for name in _WRAPPERS if given.get(name) is not None), None)
    inside = given[name] if name else next((value for value in given.values() if isinstance(value, dict)), None)
    if isinstance(inside, str) and inside.lstrip().startswith(("{", "[")):
        with contextlib.suppress(ArgumentError):
            return read_value(inside, [])
    return inside


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
