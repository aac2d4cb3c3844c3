"""Lines that clients send, by mistake or by malice: each is answered as it should be, and the agent lives on."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent_process import AgentProcess, line_of, prompt_params, request
from tests.support.spawner import Spawner
from tests.support.tokens import final

HELLO = final("Hello.")


@pytest.fixture(scope="module")
def agent(spawn_once: Spawner) -> AgentProcess:
    """One agent for all that follows: none of it may do harm to the next."""
    agent = spawn_once.scripted(HELLO)
    agent.initialize()
    return agent


@pytest.fixture
def fresh(spawn: Spawner) -> AgentProcess:
    """An agent that has not been initialized."""
    return spawn.scripted(HELLO)


def fields(error: Any) -> list[str]:
    assert error["code"] == -32602
    return [problem["field"] for problem in error["data"]]


# What is no request


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense\n", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"initialize"\n', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe\x80"}\n', -32700),
        (b"\x00\x01\x02\n", -32700),
        (b"5\n", -32600),
        (b'"initialize"\n', -32600),
        (b"false\n", -32600),
        (b"null\n", -32600),
        (b"[]\n", -32600),
        (b"[" + line_of(request("initialize", {"protocolVersion": 1}, 1)).strip() + b"]\n", -32600),
        (b"{}\n", -32600),
    ],
)
def test_what_is_no_request_gets_an_error_and_the_agent_lives_on(agent: AgentProcess, line: bytes, code: int) -> None:
    agent.send(line)
    assert agent.next_null_answer()["code"] == code
    assert agent.new_session()


def test_a_line_of_20_mb_of_nonsense_does_no_harm(agent: AgentProcess) -> None:
    agent.send(b"x" * 20_000_000 + b"\n")
    assert agent.next_null_answer()["code"] == -32700
    assert agent.is_well()


def test_a_request_cut_into_pieces_is_one_request(agent: AgentProcess) -> None:
    whole = line_of(request("initialize", {"protocolVersion": 1, "clientInfo": {"name": "☃🎈"}}, 1))
    agent.expect("initialize", 1)
    for start in range(0, len(whole), 7):
        agent.send(whole[start : start + 7])
    assert agent.result(1)["protocolVersion"] == 1


@pytest.mark.parametrize("identifier", [0, -5, 2**53, "", "zero", "0"])
def test_every_id_comes_back_as_it_was(agent: AgentProcess, identifier: Any) -> None:
    agent.ask("initialize", {"protocolVersion": 1}, identifier)
    answer = agent.answer(identifier)
    assert "result" in answer
    assert type(answer["id"]) is type(identifier)


def test_an_error_sent_back_to_the_agent_is_not_answered(agent: AgentProcess) -> None:
    before = len(agent.received)
    agent.send(line_of({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "what?"}}))
    agent.initialize()
    assert len(agent.received) == before + 1


def test_unknown_methods_are_not_found_and_unknown_notifications_ignored(agent: AgentProcess) -> None:
    before = len(agent.received)
    agent.notify("_vendor/event", {"any": "thing"})
    agent.notify("session/unknown", None)
    for method in ("_vendor/method", "session/set_model", "", "Initialize"):
        assert agent.error(agent.ask(method, {"sessionId": "x"}))["code"] == -32601
    assert len(agent.received) == before + 4


# The protocol's own rules


def test_initialize_says_who_it_is_and_what_works(agent: AgentProcess) -> None:
    result = agent.initialize()
    assert result["protocolVersion"] == 1
    assert result["agentInfo"]["name"] == "gptoss-acp"
    assert result["agentInfo"]["version"] == version("gptoss-acp")
    assert result["agentCapabilities"]["loadSession"] is True
    declared = {"list", "resume", "fork", "close", "delete", "additionalDirectories"}
    assert result["agentCapabilities"]["sessionCapabilities"] == {name: {} for name in declared}
    assert result["agentCapabilities"]["promptCapabilities"] == {
        "image": False,
        "audio": False,
        "embeddedContext": True,
    }
    assert result["authMethods"] == []  # the script is no model that could be had


@pytest.mark.parametrize("requested", [0, 1, 2, 999])
def test_another_protocol_version_is_answered_with_ours(agent: AgentProcess, requested: int) -> None:
    answer = agent.result(agent.ask("initialize", {"protocolVersion": requested, "clientCapabilities": {"x": 1}}))
    assert answer["protocolVersion"] == 1


SECOND_SERVER = ["mcpServers.1.command", "mcpServers.1.name"]


def test_cancel_before_initialize_or_of_no_session_is_ignored(fresh: AgentProcess) -> None:
    fresh.cancel("no-such-session")
    fresh.initialize()
    fresh.cancel("no-such-session")
    fresh.notify("session/cancel", None)
    assert fresh.is_well()


@pytest.mark.parametrize(
    ("method", "params", "wrong"),
    [
        ("session/new", {"cwd": "relative/path", "mcpServers": []}, ["cwd"]),
        ("session/new", {"cwd": "/no/such/folder", "mcpServers": []}, ["cwd"]),
        ("session/new", {"cwd": "/etc/passwd", "mcpServers": []}, ["cwd"]),
        ("session/new", {"cwd": "/", "mcpServers": 5}, ["mcpServers"]),
        ("session/new", {"cwd": "/", "mcpServers": [{"name": "a", "command": "b"}, {"name": 5}]}, SECOND_SERVER),
        ("session/new", {"cwd": "/", "mcpServers": ["x"]}, ["mcpServers.0.command", "mcpServers.0.name"]),
        ("session/new", {"cwd": "/", "mcpServers": [{"type": "http", "name": "a"}]}, ["mcpServers.0.url"]),
        ("session/new", {"cwd": "/", "mcpServers": [{"type": ["acp"], "name": "a"}]}, ["mcpServers.0.type"]),
        ("authenticate", {"methodId": "password"}, ["methodId"]),
    ],
)
def test_wrong_params_are_named(agent: AgentProcess, method: str, params: Any, wrong: list[str]) -> None:
    assert sorted(fields(agent.error(agent.ask(method, params)))) == wrong


def test_a_request_wrong_in_a_thousand_places_gets_a_short_answer(agent: AgentProcess) -> None:
    blocks = [{"type": "☃" * 1000, "text": 5}] * 1000
    error = agent.error(agent.ask("session/prompt", {"sessionId": "x", "prompt": blocks}))
    assert error["code"] == -32602
    assert len(json.dumps(error)) < 20_000


def test_unknown_fields_are_tolerated(agent: AgentProcess, tmp_path: Path) -> None:
    params = {"cwd": str(tmp_path), "mcpServers": [], "_meta": {"a": 1}, "newField": [1, 2]}
    session = agent.result(agent.ask("session/new", params))["sessionId"]
    prompt = agent.ask("session/prompt", {**prompt_params(session, "Hi"), "messageId": "m", "another": None})
    assert agent.result(prompt)["stopReason"] == "end_turn"


def test_mcp_servers_may_be_left_out(agent: AgentProcess, tmp_path: Path) -> None:
    assert agent.result(agent.ask("session/new", {"cwd": str(tmp_path)}))["sessionId"]


def test_initialize_twice_does_no_harm(fresh: AgentProcess) -> None:
    assert fresh.initialize() == fresh.initialize()
    assert fresh.new_session()


def test_authenticate_succeeds_at_once_when_the_model_is_ready(agent: AgentProcess) -> None:
    agent.initialize()
    method = "prepare-model"
    assert agent.result(agent.ask("authenticate", {"methodId": method})) == {}


def test_without_a_model_a_session_asks_to_authenticate(spawn: Spawner) -> None:
    agent = spawn("--model", "openai/gpt-oss-20b")
    agent.initialize()
    error = agent.error(agent.ask("session/new", {"cwd": "/", "mcpServers": []}))
    assert error["code"] == -32000
    assert "openai/gpt-oss-20b" in error["message"]
    assert agent.result(agent.ask("authenticate", {"methodId": "prepare-model"})) == {}
    session = agent.new_session()
    failure = agent.answer(agent.prompt(session, "Hello"), 60)["error"]
    assert failure["code"] == -32603
    assert "downloaded" in failure["message"]
    assert agent.is_well()


def test_many_requests_in_one_write_are_each_answered_once(agent: AgentProcess) -> None:
    agent.send(*[request("test/ping", {}, number) for number in range(2000)])
    before = len(agent.received)
    agent.read_until(lambda: len(agent.received) == before + 2000)
    assert [received.message["id"] for received in agent.received[before:]] == list(range(2000))
