"""JSON schemas of tools that others wrote, as the model can be told of them.

Knows what openai-harmony shows of a schema: neither references nor `anyOf`. Knows nothing about tools.
"""

from __future__ import annotations

import itertools
from typing import Any

LARGEST_SCHEMA = 2_000
"""Values in a schema, once every reference is filled in; beyond, what is left is not told."""


def plain(schema: Any) -> dict[str, Any]:
    """Return a schema of an object without references and titles, and with `oneOf` for `anyOf`.

    What is no schema of an object, or has no end, becomes that of any object.
    """
    anything = {"type": "object"}
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return anything
    told = {name: value for name, value in schema.items() if name not in {"$schema", "$defs", "definitions"}}
    try:
        filled: dict[str, Any] = _Filling(schema).fill(told)
    except RecursionError:
        return anything
    return filled | anything


class _Filling:
    """Puts the definitions of a schema where it refers to them; one that holds itself, only once."""

    def __init__(self, root: dict[str, Any]) -> None:
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
                return {
                    "oneOf" if name == "anyOf" and isinstance(item, list) else name: self.fill(item, within)
                    for name, item in value.items()
                    if not (name == "title" and isinstance(item, str))
                }
            case list():
                return [self.fill(item, within) for item in value]
        return value

    def _find(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return None
        found: Any = self._root
        for part in reference[2:].split("/"):
            found = found.get(part) if isinstance(found, dict) else None
        return found
