"""JSON schemas of tools that others wrote, as the model can be told of them.

Knows what openai-harmony shows of a schema: neither references nor `anyOf`, `allOf` and `const`, and of an object no
choices. Knows nothing about tools.
"""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import unquote

LARGEST_SCHEMA = 2_000
"""Values in a schema, once every reference is filled in; beyond, what is left is not told."""

_Schema = dict[str, Any]


def plain(schema: Any) -> dict[str, Any]:
    """Return a schema of an object without references and titles, and with `oneOf` for `anyOf`.

    The properties of whatever an object is made of (`allOf`) or may be (`oneOf`) are its own; what only some choices
    require is optional. What is no schema of an object, or has no end, becomes that of any object.
    """
    anything = {"type": "object"}
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return anything
    told = {name: value for name, value in schema.items() if name not in {"$schema", "$defs", "definitions"}}
    try:
        filled: _Schema = _Filling(schema).fill(told | anything)
    except RecursionError:
        return anything
    return filled | anything


class _Filling:
    """Puts the definitions of a schema where it refers to them; one that holds itself, only once."""

    def __init__(self, root: _Schema) -> None:
        self._root = root
        self._count = itertools.count()

    def fill(self, value: Any, within: tuple[str, ...] = ()) -> Any:
        """Return a part of the schema that is reached through the references `within`."""
        if next(self._count) > LARGEST_SCHEMA:
            return {} if isinstance(value, dict) else value
        match value:
            case {"$ref": str(reference), **others}:
                found = None if reference in within else self._find(reference)
                return self.fill(found | others, (*within, reference)) if isinstance(found, dict) else others
            case dict():
                return _merged(
                    {
                        "oneOf" if name == "anyOf" and isinstance(item, list) else name: self.fill(item, within)
                        for name, item in value.items()
                        if not (name == "title" and isinstance(item, str))
                    }
                )
            case list():
                return [self.fill(item, within) for item in value]
        return value

    def _find(self, reference: str) -> Any:
        """Return what a JSON pointer in a URI fragment leads to (RFC 6901, sections 4 and 6), None where to nothing."""
        if not reference.startswith("#"):
            return None
        found: Any = self._root
        for part in unquote(reference[1:]).split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                found = found.get(name) if isinstance(found, dict) else None
        return found


def _merged(schema: _Schema) -> _Schema:
    """Return a schema whose own parts are filled in, in the words that are shown."""
    if isinstance(parts := schema.get("allOf"), list):
        schema = {name: value for name, value in schema.items() if name != "allOf"}
        for part in parts:
            schema = _with_part(schema, part) if isinstance(part, dict) else schema
    if isinstance(choices := schema.get("oneOf"), list) and schema.get("type") == "object":
        schema = _with_choices(schema, [choice for choice in choices if isinstance(choice, dict)])
    if isinstance(only := schema.get("const"), str):
        schema = {"type": "string", "enum": [only]} | schema
    return schema


def _with_part(schema: _Schema, part: _Schema) -> _Schema:
    required = [*_list(schema, "required"), *_list(part, "required")]
    both = part | schema | {"properties": _dict(part, "properties") | _dict(schema, "properties"), "required": required}
    return {name: value for name, value in both.items() if value or name not in {"properties", "required"}}


def _with_choices(schema: _Schema, choices: list[_Schema]) -> _Schema:
    found: dict[str, list[Any]] = {}
    for name, value in itertools.chain.from_iterable(_dict(choice, "properties").items() for choice in choices):
        if value not in found.setdefault(name, []):
            found[name].append(value)
    properties = {name: values[0] if len(values) == 1 else {"oneOf": values} for name, values in found.items()}
    always = [name for name in found if all(name in _list(choice, "required") for choice in choices)]
    part = {"properties": properties, "required": always}
    return _with_part({name: value for name, value in schema.items() if name != "oneOf"}, part)


def _dict(schema: _Schema, name: str) -> _Schema:
    return schema[name] if isinstance(schema.get(name), dict) else {}


def _list(schema: _Schema, name: str) -> list[Any]:
    return schema[name] if isinstance(schema.get(name), list) else []
