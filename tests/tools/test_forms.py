"""What a form is filled in with: held to the form, by nobody else's help."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.forms import filled_in


def form(**field: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": field}, "required": ["a"]}


def test_what_has_no_field_or_no_value_is_left_out() -> None:
    fields = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    assert filled_in({"a": "x", "b": None, "c": "y"}, fields) == {"a": "x"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ({"type": "integer"}, True),
        ({"type": "integer", "maximum": 3}, 4),
        ({"type": "number"}, "1"),
        ({"type": "string", "maxLength": 2}, "abc"),
        ({"type": "array", "items": {"enum": ["a"]}, "maxItems": 1}, ["a", "a"]),
        ({"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}}, ["b"]),
        ({"type": "boolean"}, None),
    ],
)
def test_what_does_not_fit_is_refused(field: Any, value: Any) -> None:
    with pytest.raises(ToolError, match="the form was not filled in as it asks"):
        filled_in({"a": value}, form(**field))


def test_nobody_is_asked_for_what_a_schema_refers_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(ToolError):
            filled_in({"a": "x"}, form(type="string", oneOf=[{"$ref": address}]))
        with pytest.raises(BlockingIOError):
            server.accept()
