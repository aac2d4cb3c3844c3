"""What a user fills in a form with, held to what the form asks for.

Knows JSON schemas of flat objects, as ACP and MCP have them in elicitations. Knows nothing about who asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gptoss_acp.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNCHECKED = ("pattern", "format")
"""Whose meaning hangs on who reads them; a stranger's pattern can take forever, too."""


def filled_in(content: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return of `content` what the form has fields for.

    Raises:
        ToolError: a field is missing, or holds what it can't.
    """
    import jsonschema  # noqa: PLC0415 (slow)
    import referencing.exceptions  # noqa: PLC0415 (slow)

    fields = {
        name: {key: value for key, value in field.items() if key not in _UNCHECKED}
        for name, field in schema["properties"].items()
    }
    held = {name: value for name, value in content.items() if name in fields and value is not None}
    checked = {"type": "object", "properties": fields, "required": schema.get("required") or []}
    # With a registry of its own it asks nobody for what a schema refers to.
    validator = jsonschema.Draft202012Validator(checked, registry=referencing.Registry())
    try:
        problem = next(validator.iter_errors(held), None)
    except referencing.exceptions.Unresolvable as error:
        raise ToolError(f"the form refers to what it does not hold: {str(error)[:200]}") from None
    if problem is not None:
        raise ToolError(f"the form was not filled in as it asks: {problem.message[:200]}")
    return held
