"""The arguments of a call, read as the model means them, or refused with where and why."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.tools.lenient_json import ArgumentError, parse_object, parse_string


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"path": "a.py"}', {"path": "a.py"}),
        ('\n {"path": "a.py"} \n', {"path": "a.py"}),
        ('```json\n{"path": "a.py"}\n```', {"path": "a.py"}),
        ('```\n{"path": "a.py"}\n```\n', {"path": "a.py"}),
        ('```json {"path": "a.py"}```', {"path": "a.py"}),
        ('\ufeff{"path": "a.py"}', {"path": "a.py"}),
        ('{"path": "a.py",}', {"path": "a.py"}),
        ('{"command": ["ls", "-l", ], }', {"command": ["ls", "-l"]}),
        ('\ufeff```json\n{"a": [1,\n],\n}\n```', {"a": [1]}),
        ('{"text": "two\nlines\tand a tab"}', {"text": "two\nlines\tand a tab"}),
        ('{"text": ",} and ,] and \\",}"}', {"text": ',} and ,] and ",}'}),
        ('{"text": "```\\nx\\n```"}', {"text": "```\nx\n```"}),
        ('{"text": "\\ud83c\\udf89"}', {"text": "🎉"}),
        ("", {}),
        (" \n", {}),
        ("{}", {}),
    ],
)
def test_nearly_json_is_read_as_it_is_meant(text: str, meant: dict[str, object]) -> None:
    assert parse_object(text) == meant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"path": "a.py" "offset": 1}', ["line 1 column 17", "offset"]),
        ('```json\n{\n  "a": 1\n  "b": 2,\n}\n```', ["line 4 column 3", "b"]),
        ('{"path": "a.py"', ["line 1 column 16", "the text ends there"]),
        ('{"path": "a.py', ["line 1 column 10"]),
        ("read the file", ["line 1 column 1", "read the file"]),
        ('{"a": 1} and more', ["line 1 column 10", "and more"]),
        ("['a']", ["line 1 column 2"]),
        ('["a"]', ["an array"]),
        ('"a"', ["a string"]),
        ("null", ["null"]),
        ("true", ["a truth value"]),
        ("1.5", ["a number"]),
        ('{"a": NaN}', ["NaN"]),
        ('{"a": "\\ud83c"}', ["surrogate"]),
        ("[" * 100_000, ["can't be read"]),
        ('{"a": ' + "1" * 5000 + "}", ["can't be read"]),
    ],
)
def test_what_cannot_be_read_tells_the_model_where_and_why(text: str, told: list[str]) -> None:
    with pytest.raises(ArgumentError) as error:
        parse_object(text)
    for words in told:
        assert words in str(error.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@settings(max_examples=200, deadline=None, database=None)
@given(st.dictionaries(st.text(), values, max_size=3))
def test_valid_json_is_read_as_json(value: dict[str, object]) -> None:
    assert parse_object(json.dumps(value)) == value
    assert parse_object(json.dumps(value, ensure_ascii=False, indent=1)) == value


@settings(max_examples=200, deadline=None, database=None)
@given(st.text('{}[]",:\\ \n1ae`\ufeff'))
def test_no_text_makes_reading_fail_otherwise(text: str) -> None:
    assert isinstance(parse_string(text), str)
    with suppress(ArgumentError):
        assert isinstance(parse_object(text), dict)


PATCH = "*** Begin Patch\n*** Delete File: a.py\n*** End Patch"


@pytest.mark.parametrize(
    "text",
    [
        PATCH,
        json.dumps(PATCH),
        json.dumps({"patch": PATCH}),
        '{"input": "' + PATCH + '",}',
        f"```\n{PATCH}\n```",
        "```json\n" + json.dumps({"patch": PATCH}) + "\n```",
    ],
)
def test_a_string_is_read_bare_or_as_json_or_in_an_object(text: str) -> None:
    assert parse_string(text) == PATCH


@pytest.mark.parametrize("text", ['{"a": "x", "b": "y"}', '{"a": 1}', '{"a": "x"', "[1]", "", "  indented\n"])
def test_any_other_text_is_the_string_itself(text: str) -> None:
    assert parse_string(text) == text
