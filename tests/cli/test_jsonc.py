"""Changing one place in JSON with comments: whatever else stands there stays, to the letter."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.cli.editors import jsonc

PATH = ("agent_servers", "gpt-oss")
ENTRY = {"command": "/bin/gptoss-acp", "args": ["--model", "tiny"], "env": {}}

GAPS = st.lists(
    st.sampled_from([" ", "\n", "\n  ", "\t", "\r\n", "// c\n", "// {\r\n", "/* , */", "/* d\n } */"]), max_size=3
).map("".join)
SCALARS = st.sampled_from(["1", "-0.5", "true", "null", '"a // b"', '"}\\"{"', "[]", "{}", '"\\u00e9"', "[1, [2,],]"])
NAMES = st.sampled_from(["theme", "agent", "é", "gpt-oss2", "a\\u0062", "", "{"])


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[str], extra: tuple[str, ...] = (), least: int = 0) -> str:
    """Text of an object in any form, its members in any order, `extra` among them."""
    names = draw(st.lists(NAMES, unique=True, min_size=least, max_size=3))
    members = [f'"{name}"{draw(GAPS)}:{draw(GAPS)}{draw(values)}' for name in names] + list(extra)
    pieces = [draw(GAPS) + member + draw(GAPS) for member in draw(st.permutations(members))]
    comma = f",{draw(GAPS)}" if bool(pieces) and draw(st.booleans()) else ""
    return "{" + ",".join(pieces) + comma + draw(GAPS) + "}"


@st.composite
def documents(draw: st.DrawFn, *, with_entry: bool) -> str:
    """Settings with our entry or without; an object of servers is not left empty, for that would go with our entry."""
    entry = (f'"gpt-oss"{draw(GAPS)}:{json.dumps(ENTRY)}',) if with_entry else ()
    servers = draw(objects(SCALARS, entry, least=0 if with_entry else 1))
    extra = (f'"agent_servers":{draw(GAPS)}{servers}',) if with_entry or draw(st.booleans()) else ()
    nested = objects(SCALARS)
    return draw(GAPS) + draw(objects(st.one_of(SCALARS, nested), extra)) + draw(GAPS)


def comments(text: str) -> int:
    return len(re.findall(r"// [c{]|/\* [,d]", text))


@settings(deadline=None, database=None)
@given(documents(with_entry=False))
def test_what_is_added_and_removed_leaves_the_text_as_it_was(text: str) -> None:
    changed = jsonc.put(text, PATH, ENTRY)
    assert jsonc.get(changed, PATH) == ENTRY
    assert jsonc.remove(changed, PATH) == text


@settings(deadline=None, database=None)
@given(documents(with_entry=False))
def test_what_is_added_takes_nothing_away(text: str) -> None:
    letters = iter(jsonc.put(text, PATH, ENTRY))
    assert all(letter in letters for letter in text)


@settings(deadline=None, database=None)
@given(documents(with_entry=True))
def test_no_comment_goes_with_an_entry_but_those_within(text: str) -> None:
    left = jsonc.remove(text, PATH)
    entry = re.search(r'"gpt-oss"[^"]*', text)
    assert entry is not None
    assert comments(left) == comments(text) - comments(entry[0])
    assert "gpt-oss" not in (jsonc.get(left, PATH[:1]) or {})


@settings(deadline=None, database=None)
@given(documents(with_entry=True))
def test_a_value_is_replaced_where_it_stands(text: str) -> None:
    changed = jsonc.put(text, (*PATH, "command"), "uvx")
    assert jsonc.get(changed, PATH) == {**ENTRY, "command": "uvx"}
    assert jsonc.put(changed, (*PATH, "command"), ENTRY["command"]) == text


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        pytest.param("{}", '{"a": {"b": 1}}', id="an object on one line keeps it"),
        pytest.param("{\n}\n", '{\n  "a": {\n    "b": 1\n  }\n}\n', id="two blanks where nothing tells"),
        pytest.param('{\n\t"x": 1\n}', '{\n\t"x": 1,\n\t"a": {\n\t\t"b": 1\n\t}\n}', id="as it is indented"),
        pytest.param('{\r\n "x": 1,\r\n}', '{\r\n "x": 1,\r\n "a": {\r\n  "b": 1\r\n },\r\n}', id="its ends of lines"),
        pytest.param('{"x": 1 // y\n}', '{"x": 1, // y\n  "a": {\n    "b": 1\n  }\n}', id="not into a comment"),
        pytest.param('\ufeff{"x": 1}', '\ufeff{"x": 1, "a": {"b": 1}}', id="a byte order mark"),
        pytest.param('{"\\u0061": {}}', '{"\\u0061": {"b": 1}}', id="a name that is written in another way"),
    ],
)
def test_the_form_is_that_of_the_text(text: str, changed: str) -> None:
    assert jsonc.put(text, ("a", "b"), 1) == changed


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not valid JSON"),
        ('{\n"a": 1 "b": 2}', "is not valid JSON with comments: see line 2"),
        ('{\n\n"a": @}', "see line 3"),
        ("/* ", "is not valid JSON"),
        ('{"a": 1 /* \n *', "see line 1"),
        ("{\n'a': 1}", "see line 2"),
        ('{"a": {,}}', "is not valid JSON"),
        ('{"a": {"b": 1,,}}', "is not valid JSON"),
        ("[]", "is not an object"),
        ('{"a": []}', 'something else than an object in braces under "a"'),
        ('{"a": {}, "a": {}}', 'names "a" more than once'),
        ('{"a": {"b": 1, "b": 1}}', 'names "b" more than once'),
        ("[" * 5_000 + "]" * 5_000, "can't be read"),
    ],
)
def test_what_can_not_be_changed_is_refused(text: str, problem: str) -> None:
    with pytest.raises(jsonc.JsoncError, match=re.escape(problem)):
        jsonc.put(text, ("a", "b"), 2)
    with pytest.raises(jsonc.JsoncError, match=re.escape(problem)):
        jsonc.remove(text, ("a", "b"))


def test_a_comment_beside_the_only_entry_stays() -> None:
    assert jsonc.remove('{"a": {"b": 1 /* mine */}}', ("a", "b")) == '{"a": { /* mine */}}'
    assert jsonc.remove('{"a": /* mine */ {"b": 1}}', ("a", "b")) == '{"a": /* mine */ {}}'


def test_what_follows_does_not_become_a_comment() -> None:
    assert jsonc.remove('{"a": { // c\n"b": 1, "d": 2}}', ("a", "b")) == '{"a": { // c\n "d": 2}}'


def test_without_an_entry_nothing_is_removed() -> None:
    for text in ('{"a": {}}', "{ }"):
        assert jsonc.remove(text, ("a", "b")) == text


def test_settings_of_a_size_that_nobody_has_take_no_more_than_a_moment() -> None:
    members = "".join(f'  "name {number}": [{number}, {{"x": "//"}},], // c\n' for number in range(5_000))
    began = time.monotonic()
    changed = jsonc.put(f"{{\n{members}}}\n", PATH, ENTRY)
    assert jsonc.get(changed, PATH) == ENTRY
    assert time.monotonic() - began < 10  # a tenth of that on an idle machine
