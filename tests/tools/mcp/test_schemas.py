"""The schemas of tools that others wrote, as the model is told of them."""

from __future__ import annotations

from typing import Any

import pytest

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding, render
from gptoss_acp.harmony.constraint import constraint_to
from gptoss_acp.harmony.header_grammar import grammar_of
from gptoss_acp.tool_description import ToolDescription
from gptoss_acp.tools.mcp.schemas import plain


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


CHAIN = {f"A{number}": {"properties": {"a": {"$ref": f"#/$defs/A{number + 1}"}}} for number in range(1000)}
BOMB = {f"A{number}": {"items": [{"$ref": f"#/$defs/A{number + 1}"}] * 20} for number in range(20)}
ODD: dict[str, Any] = {
    "nothing": {},
    "no schema": None,
    "a string": {"type": "string"},
    "a type that is none": {"type": 5},
    "properties that are none": {"type": "object", "properties": 5, "required": "a"},
    "values that are none": {"type": "object", "properties": {"a": 5, "b": None, "c": {"enum": 5, "items": 5}}},
    "booleans": {"type": "object", "properties": {"a": True, "b": False}},
    "references to nowhere": {"type": "object", "properties": {"a": {"$ref": "#/no"}, "b": {"$ref": "http://x"}}},
    "itself": {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#/properties/b"}}},
    "control tokens": {"type": "object", "properties": {"<|end|>\n}": {"type": "string", "description": "<|call|>"}}},
    "lone surrogates": {"type": "object", "properties": {"\ud800": {"type": "string", "default": "\udfff"}}},
    "a wild pattern": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?<=x)((((("}}},
    "large numbers": {"type": "object", "properties": {"a": {"type": "array", "maxItems": 10**12, "minItems": 1e400}}},
    "very deep": deep(150),
    "deeper than Python": {"type": "object", "$ref": "#/$defs/A0", "$defs": CHAIN},
    "too large when filled in": {"type": "object", "$ref": "#/$defs/A0", "$defs": BOMB},
}


def shown_of(schema: dict[str, Any]) -> str:
    """Return what the model sees of a tool, without blanks."""
    tool = render.tellable(ToolDescription("t", "", plain(schema)))
    return "".join(encoding.load().decode(render.developer("", [tool])).split())


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_schema_breaks_neither_the_prompt_nor_the_grammar(odd: str) -> None:
    tool = render.tellable(ToolDescription("odd", "<|end|> \ud800", plain(ODD[odd])))
    prompt = render.developer("x", [tool])
    assert [token for token in prompt if token >= vocabulary.FIRST_SPECIAL_ID] == [
        vocabulary.START,
        vocabulary.MESSAGE,
        vocabulary.END,
    ]
    assert "type odd = " in encoding.load().decode(prompt)
    header = [
        *render.ASSISTANT_START,
        vocabulary.CHANNEL,
        *encoding.encode_text("commentary to=functions.odd"),
        vocabulary.MESSAGE,
        *encoding.encode_text("{"),
    ]
    grammar_of(constraint_to([tool])).processor(header)


def test_the_model_sees_what_references_and_choices_stand_for() -> None:
    item = {"type": "object", "properties": {"x": {"type": "number"}, "more": {"$ref": "#/$defs/Item"}}}
    schema = {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
            "name": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "definitions": {"type": "string", "title": "Definitions"},
        },
        "$defs": {"Item": item},
    }
    shown = shown_of(schema)
    assert "items?:{x?:number,more?:any,}[]" in shown
    assert "name?:|string|any" in shown
    assert "definitions?:string" in shown
    assert "Definitions" not in shown


@pytest.mark.parametrize(
    "reference", ["#/$defs/a~1b%20c~0", "#/$defs/a~1b c~0", "#/properties/list/items/0", "#/$defs/a"]
)
def test_a_reference_is_a_json_pointer_in_a_fragment(reference: str) -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"$ref": reference}, "list": {"items": [{"type": "boolean"}]}},
        "$defs": {"a/b c~": {"type": "boolean"}, "a": {"type": "boolean"}},
    }
    assert "x?:boolean," in shown_of(schema)


TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
MERGED: dict[str, tuple[dict[str, Any], str]] = {
    "all of several": (
        {"allOf": [{"properties": {"a": TEXT}, "required": ["a"]}, {"$ref": "#/$defs/B"}], "$defs": {"B": {"properties": {"b": NUMBER}}}},
        "(_:{b?:number,a:string,})",
    ),
    "one of several": (
        {"oneOf": [{"properties": {"a": TEXT, "k": {"const": "x"}}, "required": ["a", "k"]}, {"properties": {"k": {"const": "y"}}, "required": ["k"]}]},
        '(_:{a?:string,k:|"x"|"y",})',
    ),
    "one of them is required": (
        {"properties": {"a": TEXT, "b": TEXT}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "(_:{a?:string,b?:string,})",
    ),
    "inside": (
        {"properties": {"a": {"type": "object", "allOf": [{"properties": {"b": FLAG}}], "required": ["b"]}}},
        "(_:{a?:{b:boolean,},})",
    ),
    "a reference with words of its own": (
        {"properties": {"a": {"allOf": [{"$ref": "#/$defs/A"}], "description": "Which."}}, "$defs": {"A": {"type": "string", "enum": ["x", "y"]}}},
        '(_:{//Which.a?:"x"|"y",})',
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MERGED)
def test_what_an_object_is_made_of_or_may_be_is_told(kind: str) -> None:
    schema, shown = MERGED[kind]
    assert shown in shown_of({"type": "object"} | schema)


def test_properties_that_are_called_like_words_of_a_schema_stay_properties() -> None:
    names = ("const", "allOf", "oneOf", "required", "properties", "description", "items", "$ref")
    shown = shown_of({"type": "object", "properties": dict.fromkeys(names, TEXT)})
    assert all(f"{name}?:string" in shown for name in names[:-1])
    assert '"$ref"?:string' in shown or "$ref?:string" in shown
