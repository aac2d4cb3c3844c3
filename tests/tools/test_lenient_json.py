"""The arguments of a call, read as the model means them, or refused with where and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.tools.arguments import text_names
from gptoss_acp.tools.lenient_json import SECOND_CALL, ArgumentError, read_object, read_text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"path": "a.py"}', {"path": "a.py"}),
        ('\n {"path": "a.py"} \n', {"path": "a.py"}),
        ('```json\n{"path": "a.py"}\n```', {"path": "a.py"}),
        ('```\n{"path": "a.py"}\n```\n', {"path": "a.py"}),
        ('```json {"path": "a.py"}```', {"path": "a.py"}),
        ('```{"path": "a.py"}```', {"path": "a.py"}),
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
        ('{"path": "a.py"', {"path": "a.py"}),
        ('{"path": "a.py"}}', {"path": "a.py"}),
        ('{"path": "a.py"}]\n', {"path": "a.py"}),
        ('{"command": ["ls", "-l"}', {"command": ["ls", "-l"]}),
        ('{"command": ["ls", "-l"]]}', {"command": ["ls", "-l"]}),
        ('{"a": {"b": {}}', {"a": {"b": {}}}),
        ('{"a": "}]"', {"a": "}]"}),
        ('I read it: {"path": "a.py"}', {"path": "a.py"}),
        ('{"path": "a.py"} and more', {"path": "a.py"}),
        ('Here:\n```json\n{"path": "a.py"}\n```\nDone.', {"path": "a.py"}),
        ('[{"path": "a.py"}]', {"path": "a.py"}),
        ('"{\\"path\\": \\"a.py\\"}"', {"path": "a.py"}),
        ('I read {x}: {"path": "a.py"}', {"path": "a.py"}),
        ('I read it: {"path": "a.py"', {"path": "a.py"}),
        ('[{"path": "a.py"}', {"path": "a.py"}),
        ('"{\\"path\\": \\"a.py\\""', {"path": "a.py"}),
        ('{"plan": [{"step": "a"}, {"step": "b"}}', {"plan": [{"step": "a"}, {"step": "b"}]}),
        ('["a"', ArgumentError),
    ],
)
def test_nearly_json_is_read_as_it_is_meant(text: str, meant: dict[str, object] | type[ArgumentError]) -> None:
    notes: list[str] = []
    if isinstance(meant, dict):
        assert read_object(text, notes) == meant
        assert notes == []
    else:
        with pytest.raises(meant):
            read_object(text, notes)


@pytest.mark.parametrize(
    "second",
    [
        '\n{"path": "b.py"}',
        '{"path": "b.py"}',
        ', {"path": "b.py"}',
        ' then {"path": "b.py"',
        '\n```\n{"path": "b.py"}',
    ],
)
def test_of_two_objects_the_first_is_read_and_the_second_is_said(second: str) -> None:
    notes: list[str] = []
    assert read_object(f'{{"path": "a.py"}}{second}', notes) == {"path": "a.py"}
    assert notes == [SECOND_CALL]


def test_of_an_array_of_objects_the_first_is_read_and_the_others_are_said() -> None:
    notes: list[str] = []
    assert read_object('[{"path": "a.py"}, {"path": "b.py"}]', notes) == {"path": "a.py"}
    assert notes == [SECOND_CALL]


@pytest.mark.parametrize(
    "hostile", ["[", "{", '"', '"\\', "{[", " ", "```", '{"a":', ",]", "\\", "{ ", '{"', '{"a"', "x {", '{"a":"\\"{']
)
def test_a_megabyte_of_anything_takes_no_longer_than_to_read_it(hostile: str) -> None:
    text = hostile * (1_000_000 // len(hostile))
    with suppress(ArgumentError):
        read_object(text, [])
    assert isinstance(read_text(text, ("patch",), []), str)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"path": "a.py" "offset": 1}', ["line 1 column 17", "offset"]),
        ('```json\n{\n  "a": 1\n  "b": 2,\n}\n```', ["line 4 column 3", "b"]),
        ('{"path": "a.py', ["line 1 column 10"]),
        ('{"path": ', ["line 1 column 10", "the text ends there"]),
        ("read the file", ["line 1 column 1", "read the file"]),
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
        read_object(text, [])
    for words in told:
        assert words in str(error.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@settings(max_examples=200, deadline=None, database=None)
@given(st.dictionaries(st.text(), values, max_size=3))
def test_valid_json_is_read_as_json(value: dict[str, object]) -> None:
    assert read_object(json.dumps(value), []) == value
    assert read_object(json.dumps(value, ensure_ascii=False, indent=1), []) == value


WRAPPED: list[Callable[[str], str]] = [
    lambda text: text[:-1],
    lambda text: text + "}",
    lambda text: text + "]}\n",
    lambda text: f"[{text}]",
    lambda text: f"[{text}",
    lambda text: f"```json\n{text}\n```",
    lambda text: f"I read it. {text}",
    lambda text: f"{text}\nThat is it.",
    json.dumps,
]


@settings(max_examples=300, deadline=None, database=None)
@given(
    st.dictionaries(st.text("ab_", min_size=1), values | st.text('{}[]",:\\ `\n'), min_size=1, max_size=3),
    st.sampled_from(WRAPPED),
    st.sampled_from([None, 1]),
)
def test_what_is_around_an_object_does_not_change_it(
    value: dict[str, object], wrap: Callable[[str], str], indent: int | None
) -> None:
    notes: list[str] = []
    assert read_object(wrap(json.dumps(value, indent=indent)), notes) == value
    assert notes == []


@settings(max_examples=200, deadline=None, database=None)
@given(st.text('{}[]",:\\ \n1ae`\ufeff'))
def test_no_text_makes_reading_fail_otherwise(text: str) -> None:
    assert isinstance(read_text(text, ("patch",), []), str)
    with suppress(ArgumentError):
        assert isinstance(read_object(text, []), dict)


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
        json.dumps({"input": PATCH, "explanation": "because"}),
        json.dumps({"explanation": "because", "patch": PATCH}),
        json.dumps({"cmd": ["apply_patch", PATCH]}),
        json.dumps(["apply_patch", PATCH]),
        json.dumps({"patch": PATCH})[:-1],
        json.dumps({"patch": PATCH}) + "}",
        json.dumps({"patch": PATCH.split("\n")}),
        json.dumps({"patch": {"patch": PATCH}}),
        json.dumps({"name": "apply_patch", "arguments": {"patch": PATCH}}),
        json.dumps({"name": "apply_patch", "arguments": json.dumps({"patch": PATCH})}),
        json.dumps({"input": json.dumps({"patch": PATCH})}),
        json.dumps([{"patch": PATCH}]),
        "Here is the patch: " + json.dumps({"patch": PATCH}),
        "Here it is:\n\n```json\n" + json.dumps({"patch": PATCH}) + "\n```\n",
    ],
)
def test_a_string_is_read_bare_or_as_json_or_in_an_object(text: str) -> None:
    assert read_text(text, text_names("patch"), []) == PATCH


def test_what_stands_beside_the_text_is_said() -> None:
    notes: list[str] = []
    assert read_text('{"why": "b", "patch": "p", "force": true, "x": null}', ("patch",), notes) == "p"
    assert notes == ["(ignored: why, force; the argument is patch)"]


@pytest.mark.parametrize("text", ['{"patch": "+print("a")"}', '{"patch": "*** Begin Patch\\n*** Del', '{"input": "a'])
def test_a_text_in_an_object_that_can_not_be_read_is_refused_for_that(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"not valid JSON: .* The patch may also be sent as it is, without JSON\."):
        read_text(text, text_names("patch"), [])


OBJECTS = PATCH.replace("*** Delete", '*** Add File: b.json\n+{"patch": "x"}\n*** Delete')


@pytest.mark.parametrize(
    "text",
    [
        *('{"a": "x", "b": "y"}', '{"a": 1}', '{"a": "x', "[1]", "", "  indented\n", OBJECTS),
        *('x = {"patch": "a"}', 'f({"patch": "a"})', '"""{"patch": "a"}"""\nprint(1)'),
    ],
)
def test_any_other_text_is_the_string_itself(text: str) -> None:
    assert read_text(text, text_names("patch"), []) == text
