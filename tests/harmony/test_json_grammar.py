"""Which ids may come next in a tool's arguments, so that they satisfy their schema."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding, json_grammar

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"path": {"type": "string"}, "kind": {"enum": ["file", "folder"]}},
        "required": ["path"],
        "additionalProperties": False,
    }
)


def accepted(text: str, schema: str = SCHEMA) -> bool:
    """Whether `text` is taken to its end, and may end there."""
    matcher = json_grammar.matcher(schema)
    assert matcher is not None
    tokens = [*encoding.encode_text(text), vocabulary.CALL]
    return bool(matcher.validate_tokens(tokens) == len(tokens))


@pytest.mark.parametrize("value", [{"path": "a.py"}, {"path": '☃ <|call|> "\\\n'}, {"path": "", "kind": "folder"}])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_that_satisfies_the_schema_is_allowed_however_it_is_laid_out(
    value: dict[str, Any], indent: int | None
) -> None:
    assert accepted(json.dumps(value, indent=indent, ensure_ascii=False))


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"path": 5}', '{"path": "a", "more": 1}', '{"path": "a", "kind": "pipe"}', '{"path": "a"', "path"],
)
def test_all_else_is_refused(text: str) -> None:
    assert not accepted(text)


@pytest.mark.parametrize("blanks", ["\n", " \t\r\n  "])
def test_blanks_may_stand_around_the_json(blanks: str) -> None:
    assert accepted(f'{blanks}{{"path":"a"}}{blanks}')


def of_properties(*names: str) -> str:
    return json.dumps({"type": "object", "properties": {name: {"type": "integer"} for name in names}})


def test_properties_come_in_any_order_while_they_are_few() -> None:
    names = ("a", "b", "c", "d", "e")
    assert all(accepted(json.dumps(dict.fromkeys(order, 1)), of_properties(*names)) for order in permutations(names))
    assert not accepted('{"f": 1, "a": 1}', of_properties(*names, "f"))
    assert accepted('{"a": 1, "f": 1}', of_properties(*names, "f"))


def test_what_the_schema_does_not_name_is_refused_inside_too_unless_it_says_otherwise() -> None:
    inside = {"type": "object", "properties": {"b": {"type": "integer"}}}
    schema = json.dumps({"type": "object", "properties": {"a": {"type": "array", "items": inside}}})
    assert accepted('{"a": [{"b": 1}]}', schema)
    assert not accepted('{"a": [{"c": 1}]}', schema)
    assert not accepted('{"c": 1}', schema)
    assert accepted('{"b": 1, "c": 1}', json.dumps(inside | {"additionalProperties": {"type": "integer"}}))
    assert accepted('{"c": 1}', '{"type": "object"}')


PUT_TOGETHER: dict[str, tuple[str, dict[str, Any]]] = {
    "if": (
        '{"kind": "file", "path": "p"}',
        {
            "properties": {"kind": {"type": "string"}},
            "if": {"properties": {"kind": {"const": "file"}}},
            "then": {"properties": {"path": {"type": "string"}}},
        },
    ),
    "anyOf inside": (
        '{"t": {"a": "1", "b": "2"}}',
        {"properties": {"t": {"properties": {"a": {}}, "anyOf": [{"properties": {"b": {"type": "string"}}}]}}},
    ),
}


@pytest.mark.parametrize("name", PUT_TOGETHER)
def test_a_schema_that_is_put_together_allows_what_its_parts_name(name: str) -> None:
    text, schema = PUT_TOGETHER[name]
    compiled = json_grammar.matcher(json.dumps({"type": "object", **schema}))
    assert compiled is None or accepted(text, json.dumps({"type": "object", **schema}))


def test_properties_that_are_called_like_words_of_a_schema_are_properties() -> None:
    assert accepted('{"properties": 1}', of_properties("properties", "additionalProperties"))


@pytest.mark.parametrize(
    ("text", "may_be"),
    [
        ('{"path": "a"}', True),
        ("*** Begin Patch\n*** Delete File: a\n*** End Patch\n", True),
        ("\n*** Begin Patch", True),
        ("*** Delete File: a", False),
        ("a patch", False),
    ],
)
def test_a_bare_patch_may_stand_for_the_arguments(text: str, *, may_be: bool) -> None:
    matcher = json_grammar.matcher(SCHEMA, or_patch=True)
    assert matcher is not None
    tokens = [*encoding.encode_text(text), vocabulary.CALL]
    assert (matcher.validate_tokens(tokens) == len(tokens)) == may_be


def test_blanks_have_an_end() -> None:
    assert accepted('{"path":' + " " * 64 + '"a"}')
    assert not accepted('{"path":' + " " * 65 + '"a"}')


def test_matchers_of_one_schema_share_no_state() -> None:
    first, second = json_grammar.matcher(SCHEMA), json_grammar.matcher(SCHEMA)
    assert first is not None
    assert second is not None
    assert first.consume_tokens(encoding.encode_text('{"path"'))
    assert second.validate_tokens(encoding.encode_text('{"path": "a"}')) > 0


@pytest.mark.parametrize("schema", ['{"type": "object", "properties": {"a": {"pattern": "(?=x)", "type": "string"}}}'])
def test_a_schema_that_can_not_be_followed_has_no_matcher(schema: str) -> None:
    assert json_grammar.matcher(schema) is None
