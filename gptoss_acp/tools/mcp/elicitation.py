"""What an MCP server asks the user, as ACP's elicitation, and the answer as MCP's.

The two speak of the same forms. Of a stranger's form is taken what both know; a form that holds what can't be seen, or
more than a person can fill in, is refused. Knows both protocols' shapes. Knows nothing about calls.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from acp.schema import ElicitationSchema
from mcp import types
from pydantic import ValidationError

from gptoss_acp.errors import ToolError
from gptoss_acp.text import visible, visible_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gptoss_acp.protocol.face import Answered
    from gptoss_acp.protocol.shapes import Elicitation

    Asking = Callable[[Elicitation], Awaitable[Answered]]

MOST_FIELDS = 30

_TEXTS = ("title", "description")
_OF_FIELDS = {
    "string": ("minLength", "maxLength", "pattern", "format", "default", "enum", "oneOf"),
    "number": ("minimum", "maximum", "default"),
    "integer": ("minimum", "maximum", "default"),
    "boolean": ("default",),
    "array": ("minItems", "maxItems", "default", "items"),
}
"""What a field of each type may say (MCP 2025-11-25, client/elicitation; ACP, elicitation)."""


async def answer(asked: types.ElicitRequestParams, ask: Asking) -> types.ElicitResult | types.ErrorData:
    """Return what the server is answered."""
    try:
        answered = await ask(_elicitation(asked))
    except ToolError as error:
        return types.ErrorData(code=types.INVALID_PARAMS, message=str(error))
    is_filled_in = answered.action == "accept" and isinstance(asked, types.ElicitRequestFormParams)
    return types.ElicitResult(action=answered.action, content=dict(answered.content) if is_filled_in else None)


def _elicitation(asked: types.ElicitRequestParams) -> Elicitation:
    if isinstance(asked, types.ElicitRequestFormParams):
        return {"mode": "form", "message": visible(asked.message), "requestedSchema": _form(asked.requested_schema)}
    if urlsplit(asked.url).scheme not in {"http", "https"} or visible(asked.url) != asked.url:
        raise ToolError("only an address that begins with https:// or http:// is shown to the user")
    return {"mode": "url", "message": visible(asked.message), "url": asked.url, "elicitationId": str(uuid.uuid4())}


def _form(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form as the client is shown it.

    Raises:
        ToolError: it is none.
    """
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not 0 < len(properties) <= MOST_FIELDS:
        raise ToolError(f"a form has between 1 and {MOST_FIELDS} fields")
    required = schema.get("required")
    form = {
        "type": "object",
        "properties": {name: _field(field) for name, field in properties.items()},
        "required": [name for name in properties if isinstance(required, list) and name in required],
    }
    try:
        ElicitationSchema.model_validate(form)
    except ValidationError as error:
        raise ToolError(f"this form can't be shown: {error.errors()[0]['msg'][:200]}") from None
    if visible_in(form) != form:
        raise ToolError("the form holds characters that can't be seen")
    return form


def _field(field: Any) -> dict[str, Any]:
    kind = field.get("type") if isinstance(field, dict) else None
    if not isinstance(kind, str) or kind not in _OF_FIELDS:
        raise ToolError(f"a field's type is one of {', '.join(_OF_FIELDS)}")
    taken = {name: field[name] for name in ("type", *_TEXTS, *_OF_FIELDS[kind]) if field.get(name) is not None}
    for name in _TEXTS:
        if name in taken:
            taken[name] = visible(str(taken[name]))
    names, values = field.get("enumNames"), taken.get("enum")
    if isinstance(names, list) and isinstance(values, list) and len(names) == len(values):
        # MCP's older way to name values.
        del taken["enum"]
        taken["oneOf"] = [{"const": value, "title": name} for value, name in zip(values, names, strict=True)]
    return taken
