"""Every method in every state: before initialize, without its session, with wrong, missing and foreign fields, in a turn.

A method that is added to the agent belongs into `METHODS`; a test says so if it is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from acp.meta import AGENT_METHODS

from gptoss_acp.agent import Agent
from gptoss_acp.handshake import SESSION_NOTIFICATIONS, SESSION_REQUESTS, Handshake
from gptoss_acp.open_sessions import OpenSessions
from gptoss_acp.settings import Settings
from tests.support.agent_process import AgentProcess
from tests.support.fake_engine import FakeEngine
from tests.support.spawner import Spawner
from tests.support.tokens import final, numbers

ENDLESS = final(numbers(20_000))


@dataclass(frozen=True)
class Method:
    """A method, the params it takes besides the session's id, and for each field something that it may not be.

    `ends_turn`: it ends a turn that runs. `takes_any_session`: no session is not wrong.
    """

    name: str
    params: dict[str, Any]
    wrong: dict[str, Any]
    required: tuple[str, ...] = ()
    of_a_session: bool = True
    ends_turn: bool = False
    takes_any_session: bool = False

    def __str__(self) -> str:
        return self.name

    def request(self, session: str) -> dict[str, Any]:
        return {**self.params, **({"sessionId": session} if self.of_a_session else {})}


METHODS = (
    Method(
        "initialize",
        {"protocolVersion": 1},
        {"protocolVersion": "1"},
        required=("protocolVersion",),
        of_a_session=False,
    ),
    Method(
        "authenticate",
        {"methodId": "prepare-model"},
        {"methodId": 5},
        required=("methodId",),
        of_a_session=False,
    ),
    Method(
        "session/new",
        {"cwd": "/", "mcpServers": []},
        {"cwd": 5, "mcpServers": "none"},
        required=("cwd",),
        of_a_session=False,
    ),
    Method(
        "session/load",
        {"cwd": "/", "mcpServers": []},
        {"sessionId": 5, "cwd": 5, "mcpServers": "none"},
        required=("sessionId", "cwd"),
        ends_turn=True,
    ),
    Method(
        "session/resume",
        {"cwd": "/"},
        {"sessionId": 5, "cwd": 5, "mcpServers": "none"},
        required=("sessionId", "cwd"),
        ends_turn=True,
    ),
    Method(
        "session/fork",
        {"cwd": "/"},
        {"sessionId": 5, "cwd": 5, "mcpServers": "none"},
        required=("sessionId", "cwd"),
    ),
    Method("session/list", {}, {"cwd": 5, "cursor": 5}, of_a_session=False),
    Method("session/close", {}, {"sessionId": 5}, required=("sessionId",), ends_turn=True),
    Method("session/delete", {}, {"sessionId": 5}, required=("sessionId",), ends_turn=True, takes_any_session=True),
    Method(
        "session/prompt",
        {"prompt": [{"type": "text", "text": "Go"}]},
        {"sessionId": 5, "prompt": "Go"},
        required=("sessionId", "prompt"),
        ends_turn=True,
    ),
    Method(
        "session/set_mode",
        {"modeId": "ask"},
        {"sessionId": [], "modeId": 1},
        required=("sessionId", "modeId"),
    ),
    Method(
        "session/set_config_option",
        {"configId": "mode", "value": "ask"},
        {"sessionId": {}, "configId": 1, "value": 2},
        required=("sessionId", "configId", "value"),
    ),
)
AFTER_INITIALIZE = [method for method in METHODS if method.name != "initialize"]
OF_SESSIONS = [method for method in METHODS if method.of_a_session]

EVERY_AGENTS = {
    *("initialize", "authenticate", "session/new", "session/prompt", "session/cancel"),
    *("session/set_mode", "session/set_config_option"),  # of what a new session's answer offers
}
CAPABILITIES = {
    "loadSession": {"session/load"},
    **{f"sessionCapabilities.{name}": {f"session/{name}"} for name in ("list", "delete", "fork", "resume", "close")},
    "auth.logout": {"logout"},
    "providers": {f"providers/{name}" for name in ("list", "set", "disable")},
    "mcpCapabilities.acp": {"mcp/message"},
    "nes": {method for method in AGENT_METHODS.values() if method.startswith(("nes/", "document/"))},
}
"""The methods that an agent has if it declares a capability (ACP, initialization)."""
DECLARED_OTHERWISE = {
    *("promptCapabilities.embeddedContext", "mcpCapabilities.http", "mcpCapabilities.sse"),
    "sessionCapabilities.additionalDirectories",
}


@pytest.fixture(scope="module")
def agent(spawn_once: Spawner) -> AgentProcess:
    """One agent for all that follows: none of it may do harm to the next."""
    agent = spawn_once.scripted(ENDLESS, delay=0.005)
    agent.initialize()
    return agent


def wrong_fields(error: Any) -> set[str]:
    """Return which top-level fields an error about params names."""
    assert error["code"] == -32602
    assert all(problem["problem"] for problem in error["data"])
    return {problem["field"].partition(".")[0] for problem in error["data"]}


def test_every_method_of_the_agent_is_in_the_table() -> None:
    handshake = Handshake(FakeEngine(), Settings())
    assert {method.name for method in METHODS} == set(handshake.requests)


def test_what_the_handshake_leaves_to_the_agent_is_what_that_answers() -> None:
    agent = Agent(FakeEngine(), cast(OpenSessions, None))
    assert set(SESSION_REQUESTS) == set(agent.requests)
    assert set(SESSION_NOTIFICATIONS) == set(agent.notifications)


def declared(agent: AgentProcess) -> set[str]:
    """Return the name of each capability that the agent declares, with that of the group it stands in."""
    names = set()
    for name, value in agent.initialize()["agentCapabilities"].items():
        if isinstance(value, dict):
            names |= {f"{name}.{inner}" for inner, said in value.items() if said is not False and said is not None}
        elif value:
            names.add(name)
    return names


def test_each_method_of_the_protocol_is_every_agents_or_stands_for_a_capability() -> None:
    assert EVERY_AGENTS.union(*CAPABILITIES.values()) == set(AGENT_METHODS.values())


def test_what_is_declared_is_answered_and_what_is_answered_is_declared(agent: AgentProcess) -> None:
    handshake = Handshake(FakeEngine(), Settings())
    answered = {*handshake.requests, *handshake.notifications}
    implemented = {capability for capability, methods in CAPABILITIES.items() if methods <= answered}
    assert declared(agent) == implemented | DECLARED_OTHERWISE
    assert answered == EVERY_AGENTS.union(*(CAPABILITIES[capability] for capability in implemented))


@pytest.mark.parametrize(
    ("capability", "block"),
    [
        ("image", {"type": "image", "mimeType": "image/png", "data": "AAAA"}),
        ("audio", {"type": "audio", "mimeType": "audio/wav", "data": "AAAA"}),
        ("embeddedContext", {"type": "resource", "resource": {"uri": "file:///a", "text": "x"}}),
    ],
)
def test_a_prompt_may_hold_what_is_declared_and_nothing_else(
    agent: AgentProcess, capability: str, block: dict[str, Any]
) -> None:
    session = agent.new_session()
    asked = agent.ask("session/prompt", {"sessionId": session, "prompt": [block]})
    agent.cancel(session)
    assert ("result" in agent.answer(asked)) == (f"promptCapabilities.{capability}" in declared(agent))


@pytest.mark.parametrize("kind", ["http", "sse", "acp"])
def test_mcp_servers_may_be_of_the_kinds_that_are_declared_and_no_other(agent: AgentProcess, kind: str) -> None:
    server = {"type": kind, "name": "none", "id": "none", "url": "http://127.0.0.1:9/", "headers": []}
    opened = agent.answer(agent.ask("session/new", {"cwd": "/", "mcpServers": [server]}))
    assert ("result" in opened) == (f"mcpCapabilities.{kind}" in declared(agent))
    if "result" in opened:
        agent.result(agent.ask("session/close", {"sessionId": opened["result"]["sessionId"]}))


def test_more_folders_may_be_named_as_is_declared(agent: AgentProcess) -> None:
    asked = agent.ask("session/new", {"cwd": "/", "mcpServers": [], "additionalDirectories": ["not/absolute"]})
    assert wrong_fields(agent.error(asked)) == {"additionalDirectories"}


@pytest.mark.parametrize("method", AFTER_INITIALIZE, ids=str)
def test_before_initialize(spawn: Spawner, method: Method) -> None:
    agent = spawn.scripted(ENDLESS)
    error = agent.error(agent.ask(method.name, method.request("s")))
    assert error["code"] == -32600
    assert "initialize" in error["message"]
    assert agent.open()


@pytest.mark.parametrize("method", OF_SESSIONS, ids=str)
def test_without_its_session(agent: AgentProcess, method: Method) -> None:
    asked = agent.ask(method.name, method.request("no-such-session"))
    if method.takes_any_session:
        agent.result(asked)
        return
    error = agent.error(asked)
    assert error["code"] == -32002
    assert "no-such-session" in error["message"]


@pytest.mark.parametrize(("method", "name"), [(method, name) for method in METHODS for name in method.wrong], ids=str)
def test_with_a_field_of_the_wrong_type(agent: AgentProcess, method: Method, name: str) -> None:
    params = {**method.request("s"), name: method.wrong[name]}
    assert wrong_fields(agent.error(agent.ask(method.name, params))) == {name}


@pytest.mark.parametrize(
    ("method", "name"), [(method, name) for method in METHODS for name in method.required], ids=str
)
def test_with_a_field_missing(agent: AgentProcess, method: Method, name: str) -> None:
    params = {key: value for key, value in method.request("s").items() if key != name}
    assert wrong_fields(agent.error(agent.ask(method.name, params))) == {name}


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("params", [None, [], "params", 5])
def test_with_params_that_are_no_object(agent: AgentProcess, method: Method, params: Any) -> None:
    assert agent.error(agent.ask(method.name, params))["code"] == -32602
    assert agent.is_well()


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_with_fields_that_nobody_knows(agent: AgentProcess, method: Method) -> None:
    session = agent.new_session()
    params = {**method.request(session), "_meta": {"a": 1}, "fieldOfTomorrow": [None]}
    asked = agent.ask(method.name, params)
    agent.cancel(session)
    agent.result(asked)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_while_a_turn_runs(agent: AgentProcess, method: Method) -> None:
    session = agent.new_session()
    turn = agent.prompt(session, "Count")
    agent.read_until(lambda: bool(agent.chunks(session)))
    asked = agent.ask(method.name, method.request(session))
    if method.ends_turn:
        assert agent.result(turn)["stopReason"] == "cancelled"
    else:
        agent.result(asked)
        seen = len(agent.chunks(session))
        agent.read_until(lambda: len(agent.chunks(session)) > seen)
    agent.cancel(session)
    last = agent.result(asked if method.ends_turn else turn)
    assert last.get("stopReason", "cancelled") == "cancelled"
