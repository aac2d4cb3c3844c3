"""The arguments of tools: read as gpt-oss means them, and what is wrong with them is explained to it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.arguments import OTHER_NAMES, Arguments, given_to_other
from gptoss_acp.tools.commands import Exec
from gptoss_acp.tools.lenient_json import ArgumentError
from gptoss_acp.tools.open_file import OpenFile
from gptoss_acp.tools.print_tree import PrintTree
from gptoss_acp.tools.search import Search
from gptoss_acp.tools.update_plan import UpdatePlan
from tests.support.desk import Desk

MODELS: tuple[type[Arguments], ...] = (Exec, OpenFile, PrintTree, Search, UpdatePlan)


def read(model: type[Arguments], text: str) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    return model.of(model.given(text, notes)).model_dump(exclude_defaults=True), notes


LS = ["bash", "-lc", "ls -la"]
MEANT: list[tuple[type[Arguments], str, dict[str, Any]]] = [
    (Exec, '{"command": ["ls", "-la"]}', {"command": ["ls", "-la"]}),
    (Exec, '{"command": "ls -la"}', {"command": LS}),
    (Exec, '{"cmd": ["ls", "-la"]}', {"command": ["ls", "-la"]}),
    (Exec, '{"commands": ["ls", "-la"]}', {"command": ["ls", "-la"]}),
    (Exec, '{"command": "[\\"ls\\", \\"-la\\"]"}', {"command": ["ls", "-la"]}),
    (Exec, '{"command": ["ls -la"]}', {"command": LS}),
    (Exec, "ls -la", {"command": LS}),
    (Exec, "echo ${HOME}", {"command": ["bash", "-lc", "echo ${HOME}"]}),
    (Exec, "curl -d '{\"a\": 1}' x", {"command": ["bash", "-lc", "curl -d '{\"a\": 1}' x"]}),
    (Exec, '["ls", "-la"]', {"command": ["ls", "-la"]}),
    (Exec, "{\"command\": \"['ls', '-la']\"}", {"command": ["ls", "-la"]}),
    (Exec, "```bash\nls -la\n```", {"command": LS}),
    (Exec, '{"input": "ls -la"}', {"command": LS}),
    (Exec, '{"args": ["ls", "-la"]}', {"command": ["ls", "-la"]}),
    (Exec, '{"command": "ls", "args": ["-la"]}', {"command": ["ls", "-la"]}),
    (Exec, '{"command": ["head", "-n", 5, "f"]}', {"command": ["head", "-n", "5", "f"]}),
    (Exec, '{"command": ["ls", "|", "wc"]}', {"command": ["bash", "-lc", "ls | wc"]}),
    (Exec, 'I run {it}: {"command": ["ls", "-la"]', {"command": ["ls", "-la"]}),
    (Exec, '{"container.exec": {"command": ["x"]}}', {"command": ["x"]}),
    (Exec, '{"function": {"name": "x", "arguments": "{\\"command\\": [\\"x\\"]}"}}', {"command": ["x"]}),
    (Exec, '[{"name": "x", "parameters": {"command": ["x"]}}]', {"command": ["x"]}),
    (Exec, '{"command": ["x"], "timeout_seconds": 1200}', {"command": ["x"], "timeout": 1_200_000}),
    (Exec, '{"command": ["x"], "timeout_s": "30"}', {"command": ["x"], "timeout": 30_000}),
    (Exec, '{"command": ["x"], "timeout": 0}', {"command": ["x"]}),
    (Exec, '{"command": ["x"], "timeout": "5000"}', {"command": ["x"], "timeout": 5000}),
    (Exec, '{"command": ["x"], "timeout_ms": 5000}', {"command": ["x"], "timeout": 5000}),
    (Exec, '{"command": ["x"], "timeoutMs": 5000}', {"command": ["x"], "timeout": 5000}),
    (Exec, '{"command": ["x"], "cwd": "src"}', {"command": ["x"], "workdir": "src"}),
    (Exec, '{"command": ["x"], "workdir": null}', {"command": ["x"]}),
    (Exec, '{"name": "container.exec", "arguments": {"command": ["x"]}}', {"command": ["x"]}),
    (Exec, '{"arguments": "{\\"command\\": [\\"x\\"]}"}', {"command": ["x"]}),
    (Exec, '{"input": {"cmd": ["x"]}}', {"command": ["x"]}),
    (Exec, '{"command": "git", "args": "status -s"}', {"command": ["bash", "-lc", "git status -s"]}),
    (Exec, '{"command": "ls", "arguments": ["-la"]}', {"command": ["ls", "-la"]}),
    (Exec, '{"args": {"cmd": ["x"]}}', {"command": ["x"]}),
    (OpenFile, "src/a.py", {"path": "src/a.py"}),
    (OpenFile, '"src/a.py"', {"path": "src/a.py"}),
    (OpenFile, '{"file_path": "a", "start_line": 2, "end_line": "9"}', {"path": "a", "line_start": 2, "line_end": 9}),
    (OpenFile, '{"file": "a", "offset": 5, "limit": 10}', {"path": "a", "line_start": 5, "line_end": 14}),
    (OpenFile, '{"path": "a", "limit": 10}', {"path": "a", "line_end": 10}),
    (OpenFile, '{"path": "a.py:12"}', {"path": "a.py", "line_start": 12}),
    (OpenFile, "a.py:12:5", {"path": "a.py", "line_start": 12}),
    (OpenFile, "a.py:12-20", {"path": "a.py", "line_start": 12, "line_end": 20}),
    (OpenFile, '{"path": "a", "offset": 0, "limit": 10}', {"path": "a", "line_start": 0, "line_end": 10}),
    (OpenFile, '{"path": "a", "offset": 5.0, "limit": 2}', {"path": "a", "line_start": 5, "line_end": 6}),
    (OpenFile, '{"path": "a", "limit": 0}', {"path": "a"}),
    (OpenFile, '{"path": "a", "lines": "3-9"}', {"path": "a", "line_start": 3, "line_end": 9}),
    (OpenFile, '{"path": "a.py:1", "line_start": 3, "line_end": 9}', {"path": "a.py", "line_start": 3, "line_end": 9}),
    (OpenFile, "a.py#L12-L20", {"path": "a.py", "line_start": 12, "line_end": 20}),
    (OpenFile, "```\nsrc/a.py\n```", {"path": "src/a.py"}),
    (OpenFile, '{"path": "a", "view_range": [3, 4]}', {"path": "a", "line_start": 3, "line_end": 4}),
    (OpenFile, '{"path": "a", "line_numbers": "false"}', {"path": "a", "line_numbers": False}),
    (OpenFile, '{"file": "a", "path": "a"}', {"path": "a"}),
    (PrintTree, "{}", {"path": "", "depth": 1}),
    (PrintTree, "src", {"path": "src", "depth": 1}),
    (PrintTree, '{"directory": "src", "max_depth": "3"}', {"path": "src", "depth": 3}),
    (PrintTree, '{"path": "src", "depth": 0}', {"path": "src", "depth": 1}),
    (Search, '{"pattern": "x"}', {"path": "", "query": "x"}),
    (Search, '{"regex": "x", "include": "*.py"}', {"path": "", "query": "x", "glob": "*.py"}),
    (Search, '{"query": "x", "path": "src", "max_results": "5"}', {"path": "src", "query": "x", "max_results": 5}),
    (Search, '{"query": 404}', {"path": "", "query": "404"}),
    (Search, "404", {"path": "", "query": "404"}),
    (Search, "def main", {"path": "", "query": "def main"}),
    (
        UpdatePlan,
        '{"steps": ["read", {"content": "write", "status": "done"}, {"step": "test", "state": "in-progress"}]}',
        {
            "plan": [
                {"step": "read", "status": "pending"},
                {"step": "write", "status": "completed"},
                {"step": "test", "status": "in_progress"},
            ]
        },
    ),
    (UpdatePlan, '["a", {"step": "b"}]', {"plan": [{"step": step, "status": "pending"} for step in "ab"]}),
    (UpdatePlan, '[{"step": "a"}]', {"plan": [{"step": "a", "status": "pending"}]}),
    (UpdatePlan, '[{"plan": ["a"]}]', {"plan": [{"step": "a", "status": "pending"}]}),
    (UpdatePlan, '{"plan": "[{\\"step\\": \\"a\\"}]"}', {"plan": [{"step": "a", "status": "pending"}]}),
]


@pytest.mark.parametrize(("model", "text", "meant"), MEANT, ids=[f"{row[0].__name__} {row[1]}" for row in MEANT])
def test_arguments_are_read_as_they_are_meant(model: type[Arguments], text: str, meant: dict[str, Any]) -> None:
    assert read(model, text) == (meant, [])


VALUES = {"command": ["x"], "plan": [{"step": "a", "status": "pending"}]}
NUMBERS = {"timeout", "line_start", "line_end", "depth", "max_results"}
ALIASES = [
    (model, own, other)
    for model in MODELS
    for own in model.model_fields
    for other in OTHER_NAMES.get(own, ())
    if not any(
        other in OTHER_NAMES.get(earlier, ())
        for earlier in list(model.model_fields)[: list(model.model_fields).index(own)]
    )
]


@pytest.mark.parametrize(("model", "own", "other"), ALIASES, ids=[f"{row[0].__name__} {row[2]}" for row in ALIASES])
def test_every_other_name_gives_its_argument(model: type[Arguments], own: str, other: str) -> None:
    value = VALUES.get(own, 7 if own in NUMBERS else "true" if own == "line_numbers" else "a")
    given = model.given(json.dumps({other: value}), [])
    assert given == {own: value}


def test_of_two_names_for_an_argument_its_own_counts_and_the_other_is_said() -> None:
    arguments, (note,) = read(OpenFile, '{"file": "b", "path": "a"}')
    assert arguments == {"path": "a"}
    assert note.startswith("(ignored: file; ")


@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_argument_is_left_out_and_said(model: type[Arguments]) -> None:
    whole = {"command": ["x"], "path": "a", "query": "q", "depth": 1, "plan": []}
    known = {name: whole[name] for name in model.model_fields if name in whole}
    arguments, notes = read(model, json.dumps({**known, "colour": "red", "force": True}))
    assert set(arguments) <= set(known)
    (note,) = notes
    assert note.startswith("(ignored: colour, force; the arguments are ")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"name": "x", "arguments": {"a": 1}}', {"a": 1}),
        ('{"input": "{\\"a\\": 1}"}', {"a": 1}),
        ('{"input": {"c": 1}}', {"input": {"c": 1}}),
        ('{"a": 1, "input": {"b": 1}}', {"a": 1, "input": {"b": 1}}),
    ],
)
def test_a_tool_of_others_is_given_what_is_wrapped_too(text: str, meant: dict[str, Any]) -> None:
    assert given_to_other(text, {"a": {}, "b": {}}, []) == meant


async def test_what_was_left_out_stands_in_the_last_line_of_the_result(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text\n")
    result = await Desk(tmp_path).call("open_file", '{"path": "a", "encoding": "utf-8"} {"path": "b"}')
    assert result.splitlines() == [
        "L1: text",
        "(only the first of the objects was carried out; call again for the other)",
        "(ignored: encoding; the arguments are path, line_start, line_end, line_numbers)",
    ]


WRONG_ARGUMENTS = {
    "{": "path: Field required",
    '{"path"': "the arguments are not valid JSON",
    "[]": "the arguments must be a JSON object",
    "{}": "path: Field required",
    '{"path": ["a"]}': "path: Input should be a valid string",
    '{"path": "a", "line_start": "x", "limit": 3}': "line_start: Input should be a valid integer",
    'Open it: {"path": "a" "b"': "the arguments are not valid JSON",
    '{"path": "a", "line_start": "x"}': "line_start: Input should be a valid integer",
    '{"path": "a\\u0000b"}': "it holds a null character",
}


@pytest.mark.parametrize("arguments", WRONG_ARGUMENTS)
async def test_wrong_arguments_are_explained_to_the_model(arguments: str, tmp_path: Path) -> None:
    result = await Desk(tmp_path).call("open_file", arguments)
    assert result.startswith("Error: ")
    assert WRONG_ARGUMENTS[arguments].lower() in result.lower()


texts = st.text('{}[]",:\\ \n1a-;|') | st.text()
values = st.recursive(
    st.sampled_from(["5", "1-9", "a.py:3", "ls | wc", ["ls", "|", "wc"], "['ls']"])
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    [
        *OTHER_NAMES,
        *(other for others in OTHER_NAMES.values() for other in others),
        *(name for model in MODELS for name in model.untold),
        *("name", "arguments", "input", "args"),
    ]
)


@settings(max_examples=300, deadline=None, database=None)
@example(Exec, '{"command": [], "args": "0"}')
@given(st.sampled_from(MODELS), texts | st.dictionaries(names, values, max_size=4).map(json.dumps))
def test_nothing_that_is_written_breaks_the_reading(model: type[Arguments], text: str) -> None:
    with suppress(ToolError, ArgumentError):
        read(model, text)
