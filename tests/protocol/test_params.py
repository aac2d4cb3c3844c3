"""What a request must hold: what is wrong with it is named by its field, and bounded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from acp import schema

from gptoss_acp.protocol import params
from gptoss_acp.rpc import INVALID_PARAMS, RpcError


def problems(refused: Callable[[], Any]) -> dict[str, str]:
    """Return what is wrong with a request, by field."""
    with pytest.raises(RpcError) as caught:
        refused()
    assert caught.value.code == INVALID_PARAMS
    return {problem["field"]: problem["problem"] for problem in caught.value.data}


def test_params_are_read_as_the_schemas_model() -> None:
    request = params.read(schema.NewSessionRequest, {"cwd": "/", "mcpServers": []})
    assert isinstance(request, schema.NewSessionRequest)


def test_wrong_fields_are_named_by_where_they_stand() -> None:
    assert set(problems(lambda: params.read(schema.NewSessionRequest, {"cwd": 5, "mcpServers": []}))) == {"cwd"}
    within = ("mcpServers", "3")
    assert "mcpServers.3.name" in problems(lambda: params.read(schema.McpServerStdio, {"command": "x"}, within))


def test_however_much_is_wrong_a_few_short_problems_are_named() -> None:
    blocks = [{"type": "☃" * 1000, "text": 5}] * 1000
    wrong = problems(lambda: params.read(schema.PromptRequest, {"sessionId": 5, "prompt": blocks}))
    assert 0 < len(wrong) <= 10
    assert max(map(len, [*wrong.keys(), *wrong.values()])) <= 200


def test_each_mcp_server_is_read_in_its_own_type_with_what_may_be_left_out() -> None:
    program, http, sse = params.mcp_servers(
        [
            {"name": "a", "command": "run"},
            {"type": "http", "name": "b", "url": "http://localhost"},
            {"type": "sse", "name": "c", "url": "http://localhost"},
        ],
    )
    assert isinstance(program, schema.McpServerStdio)
    assert (program.args, program.env) == ([], [])
    assert isinstance(http, schema.HttpMcpServer)
    assert isinstance(sse, schema.SseMcpServer)
    assert http.headers == sse.headers == []


@pytest.mark.parametrize("entry", [{"type": "acp", "name": "a"}, {"type": ["http"]}])
def test_an_mcp_server_of_another_type_is_refused_and_not_passed_over(entry: Any) -> None:
    known = {"name": "a", "command": "run"}
    assert problems(lambda: params.mcp_servers([known, entry])) == {
        "mcpServers.1.type": "one of stdio, http, sse is required"
    }


def test_the_folders_of_a_session_are_absolute_and_plainly_spelt() -> None:
    request = SimpleNamespace(cwd="/a/../b/", additional_directories=["/c"])
    assert params.folders(request) == params.Folders("/b", ("/c",))
    assert params.absolute("cwd", "/a") == Path("/a")
    for cwd, additional, field in (("a", [], "cwd"), ("/a", ["c"], "additionalDirectories")):
        wrong = SimpleNamespace(cwd=cwd, additional_directories=additional)
        assert set(problems(partial(params.folders, wrong))) == {field}


def test_a_choice_that_there_is_not_is_answered_with_those_there_are() -> None:
    assert params.mode("modeId", "ask") == "ask"
    assert params.effort("value", "low") == "low"
    assert params.one_of("value", "a", ["a", "b"]) == "a"
    assert problems(lambda: params.mode("modeId", "yolo")) == {
        "modeId": "the modes are read-only, ask, auto-edit, full-access"
    }
    assert problems(lambda: params.effort("value", "extreme")) == {"value": "the efforts are low, medium, high"}
    assert problems(lambda: params.one_of("value", "c", ["a", "b"])) == {"value": "one of a, b is required"}
