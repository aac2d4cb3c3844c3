"""Which ids may come next in a tool's arguments, so that they satisfy their schema."""

from __future__ import annotations

import json
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
