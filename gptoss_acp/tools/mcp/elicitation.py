"""What an MCP server asks the user, as ACP's elicitation, and the answer as MCP's.

The two speak of the same forms. Of a stranger's form is taken what both know; a form that holds what can't be seen, or
more than a person can fill in, is refused. Knows both protocols' shapes. Knows nothing about calls.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

from acp.schema import ElicitationSchema
from mcp import MCPError, UrlElicitationRequiredError, types
from pydantic import AnyUrl, TypeAdapter, UrlConstraints, ValidationError

from gptoss_acp.errors import ToolError
from gptoss_acp.text import visible, visible_in
from gptoss_acp.tools import question

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gptoss_acp.protocol.face import Answered
    from gptoss_acp.protocol.shapes import Elicitation, UrlElicitation

    Asking = Callable[[Elicitation], Awaitable[Answered]]

MOST_FIELDS = 30

_TEXTS = ("title", "description")
_OF_FIELDS = {
    "string": ("minLength", "maxLength", "pattern", "format", "default"),
    "number": ("minimum", "maximum", "default"),
    "integer": ("minimum", "maximum", "default"),
    "boolean": ("default",),
    "array": ("minItems", "maxItems", "default"),
}
"""What a field of each type may say (MCP 2025-11-25, client/elicitation; ACP, elicitation), but for its choices."""

_OF_OPTIONS = ("const", "title", "description")

_LARGEST = 2**53 - 1
"""What every reader of JSON reads as the number that it is (RFC 8259, section 6)."""

_ADDRESS: TypeAdapter[AnyUrl] = TypeAdapter(
    Annotated[AnyUrl, UrlConstraints(allowed_schemes=["http", "https"], host_required=True, max_length=8_000)]
)


async def answer(asked: types.ElicitRequestParams, ask: Asking) -> types.ElicitResult | types.ErrorData:
    """Return what the server is answered."""
    try:
        answered = await ask(_elicitation(asked))
    except ToolError as error:
        return types.ErrorData(code=types.INVALID_PARAMS, message=str(error))
    is_filled_in = answered.action == "accept" and isinstance(asked, types.ElicitRequestFormParams)
    return types.ElicitResult(action=answered.action, content=dict(answered.content) if is_filled_in else None)


async def show_addresses(error: MCPError, ask: Asking | None) -> ToolError:
    """Show the user the addresses that are to be opened before a server does what it was called for.

    Return what the model is told of it (MCP 2025-11-25, client/elicitation, error -32042).
    """
    told = "the MCP server does nothing before the user has opened an address"
    try:
        wanted = UrlElicitationRequiredError.from_error(error.error).elicitations
    except (ValidationError, AttributeError, TypeError):
        wanted = []
    if not wanted:
        return ToolError(f"{told}, and does not say which: {error.message}")
    for asked in wanted:
        try:
            visit = _visit(asked)
        except ToolError as problem:
            return ToolError(f"{told}, and {problem}")
        try:
            answered = await ask(visit) if ask else None
        except ToolError:
            answered = None
        if answered is None:
            return ToolError(f"{told}; tell the user which: {visit['url']}")
        if answered.action != "accept":
            return ToolError(f"{told}, and the user did not agree to that")
    return ToolError(f"{told}; the user was shown it and agreed. Call again when the user says that it is done")


def _elicitation(asked: types.ElicitRequestParams) -> Elicitation:
    if not isinstance(asked, types.ElicitRequestFormParams):
        return _visit(asked)
    # Before anything is done with it: what is too long to be shown is also long to look through.
    question.refuse_longer([asked.message, asked.requested_schema])
    return {"mode": "form", "message": visible(asked.message), "requestedSchema": _form(asked.requested_schema)}


def _visit(asked: types.ElicitRequestURLParams) -> UrlElicitation:
    question.refuse_longer(asked.message)
    identifier = str(uuid.uuid4())
    return {"mode": "url", "message": visible(asked.message), "url": _address(asked.url), "elicitationId": identifier}


def _address(url: str) -> str:
    """Return an address as browsers read it, so that nobody sees another one than is opened (WHATWG URL).

    Raises:
        ToolError: it is none, or holds what is there to be taken for another.
    """
    try:
        address = _ADDRESS.validate_python(url)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise ToolError(
            f"only an address that begins with https:// or http:// is shown to the user: {problem}"
        ) from None
    if address.username or address.password or visible(url) != url:
        raise ToolError("an address with a user's name, or with what can't be seen, is not shown to the user")
    return str(address)


def _form(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form as the client is shown it.

    Raises:
        ToolError: it is none.
    """
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not 0 < len(properties) <= MOST_FIELDS:
        raise ToolError(f"a form has between 1 and {MOST_FIELDS} fields")
    required = schema.get("required")
    form = _texts(schema) | {
        "type": "object",
        "properties": {name: _field(field) for name, field in properties.items()},
        "required": [name for name in properties if isinstance(required, list) and name in required],
    }
    try:
        # Of what is not as agreed but can be done without, as a default, it leaves nothing.
        form = ElicitationSchema.model_validate(form).model_dump(mode="json", by_alias=True, exclude_none=True)
    except ValidationError as error:
        raise ToolError(f"this form can't be shown: {error.errors()[0]['msg'][:200]}") from None
    if visible_in(form) != form:
        raise ToolError("the form holds characters that can't be seen")
    return form


def _field(field: Any) -> dict[str, Any]:
    """Return of a field what is known, at every depth: what a stranger's schema refers to is asked of nobody."""
    kind = field.get("type") if isinstance(field, dict) else None
    if not isinstance(kind, str) or kind not in _OF_FIELDS:
        raise ToolError(f"a field's type is one of {', '.join(_OF_FIELDS)}")
    if field.get("format") == "password" or field.get("writeOnly") is True:
        # MCP 2025-11-25, client/elicitation, security considerations.
        raise ToolError("a form must not ask for passwords, keys or other secrets; send the user to an address")
    taken = _texts(field) | {name: field[name] for name in ("type", *_OF_FIELDS[kind]) if field.get(name) is not None}
    if any(isinstance(value, int) and abs(value) > _LARGEST for value in taken.values()):
        raise ToolError(f"the numbers of a form are between -{_LARGEST:,} and {_LARGEST:,}")
    if kind == "boolean" and not isinstance(taken.get("default"), bool):
        taken.pop("default", None)
    if kind == "string":
        return taken | _choices(field, "oneOf")
    if kind == "array":
        items = field.get("items")
        choices = _choices(items, "anyOf") if isinstance(items, dict) else {}
        if not choices:
            raise ToolError("a list's items are an enum, or anyOf of options with a const and a title")
        return taken | {"items": choices if "anyOf" in choices else {"type": "string", **choices}}
    return taken


def _texts(of: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a form or a field is called and what it is for."""
    return {name: visible(of[name]) for name in _TEXTS if isinstance(of.get(name), str)}


def _choices(of: Mapping[str, Any], titled_by: str) -> dict[str, Any]:
    """Return what may be chosen, as ACP has it; nothing where that is free."""
    titled, values, names = of.get(titled_by), of.get("enum"), of.get("enumNames")
    if isinstance(values, list) and isinstance(names, list) and len(names) == len(values) and titled is None:
        # MCP's older way to name values.
        titled = [{"const": value, "title": name} for value, name in zip(values, names, strict=True)]
    if titled is None:
        if values == []:
            raise ToolError("there is nothing to choose from")
        return {} if values is None else {"enum": values}
    if not isinstance(titled, list) or not titled or not all(isinstance(option, dict) for option in titled):
        raise ToolError(f"{titled_by} is a list of options with a const and a title")
    return {titled_by: [_option(option) for option in titled]}


def _option(option: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: option[name] for name in _OF_OPTIONS if name in option}
    title = known.get("title")
    return known | {"title": known.get("const")} if isinstance(title, str) and not title.strip() else known
