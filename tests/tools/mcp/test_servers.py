"""MCP servers: a real one over each transport, and ones that fail, hang, die and will not end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
from acp.schema import EnvVariable, HttpHeader, HttpMcpServer, McpServerStdio, SseMcpServer

from gptoss_acp import vocabulary
from gptoss_acp.engine.api import Trace
from gptoss_acp.engine.scripted import ScriptedEngine
from gptoss_acp.harmony import encoding, render
from gptoss_acp.harmony.header_grammar import grammar_of
from gptoss_acp.protocol.updates import Updates
from gptoss_acp.session import Session
from gptoss_acp.settings import Mode, Settings
from gptoss_acp.text import LONGEST_RESULT
from gptoss_acp.tool_description import ToolDescription
from gptoss_acp.tools.mcp.schemas import plain
from gptoss_acp.tools.mcp.servers import CONNECT_SECONDS, Servers, _distinct
from gptoss_acp.tools.registry import CODING_TOOLS
from gptoss_acp.tools.runner import Runner
from tests.support.desk import Desk, new_journal
from tests.support.places import REPOSITORY
from tests.support.tokens import final, text_of, tool_call
from tests.support.waiting import settled

PROGRAM = REPOSITORY / "tests" / "support" / "mcp_server.py"
PATIENT = 60
"""Seconds: a server of Python takes long to start on a busy machine."""


def program(folder: Path, kind: str = "stdio", name: str = "test") -> McpServerStdio:
    variable = EnvVariable(name="MCP_TEST_KEY", value="secret")
    return McpServerStdio(name=name, command=sys.executable, args=[str(PROGRAM), kind, str(folder)], env=[variable])


def shell(script: str, name: str = "broken") -> McpServerStdio:
    return McpServerStdio(name=name, command="sh", args=["-c", script], env=[])


@contextlib.contextmanager
def listening(folder: Path, kind: str) -> Iterator[tuple[HttpMcpServer | SseMcpServer, subprocess.Popen[bytes]]]:
    """Run the server on a port of its own."""
    process = subprocess.Popen([sys.executable, str(PROGRAM), kind, str(folder)])
    try:
        deadline = time.monotonic() + PATIENT
        while not (folder / "port").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        address = f"http://127.0.0.1:{(folder / 'port').read_text()}"
        headers = [HttpHeader(name="X-Key", value="secret")]
        if kind == "sse":
            yield SseMcpServer(type="sse", name="test", url=f"{address}/sse", headers=headers), process
        else:
            yield HttpMcpServer(type="http", name="test", url=f"{address}/mcp", headers=headers), process
    finally:
        process.kill()
        process.wait()


class McpDesk(Desk):
    """A desk whose runner has the tools of `servers` too."""

    def __init__(self, cwd: Path, servers: Servers, mode: Mode = "full-access", answer: str = "reject-once") -> None:
        super().__init__(cwd, mode, answer=answer)
        self.servers = servers
        updates = Updates(self.face._connection, "session", lambda _: None)
        self.runner = Runner(self.workspace, self.permissions, updates, [*CODING_TOOLS, *servers.tools()])


@contextlib.asynccontextmanager
async def ready(
    cwd: Path, *configurations: Any, mode: Mode = "full-access", answer: str = "x"
) -> AsyncIterator[McpDesk]:
    """Connect to the servers, and let go of them at the end."""
    servers = Servers(configurations, cwd, render.tellable)
    try:
        await servers.settled(PATIENT)
        yield McpDesk(cwd, servers, mode, answer)
    finally:
        servers.stop()
        await asyncio.gather(*(server._living for server in servers._servers), return_exceptions=True)


def names(servers: Servers) -> list[str]:
    return [tool.name for tool in servers.tools()]


def running(folder: Path, name: str = "pid") -> bool:
    number = int((folder / name).read_text())
    return psutil.pid_exists(number) and psutil.Process(number).status() != "zombie"


# Servers that work


async def test_a_server_on_pipes_has_its_tools_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTOSS_ACP_SEED", "1")
    async with ready(tmp_path, program(tmp_path)) as desk:
        assert names(desk.servers) == [
            f"test__{name}"
            for name in ("add", "throw", "strange_n_me", "fail", "mixed", "long", "wait", "die", "show_environment")
        ]
        assert desk.servers.take_problems() == []
        assert await desk.call("test__add", a=1, b=2) == "3"
        assert desk.last["status"] == "completed"
        assert desk.last["rawOutput"] == {"result": "3"}
        assert await desk.call("test__strange_n_me") == "strange"
        # It gets the user's environment and its own, not ours, and works in the session's folder.
        assert await desk.call("test__show_environment", name="MCP_TEST_KEY") == f"secret None {tmp_path}"
        assert (await desk.call("test__show_environment", name="HOME")).startswith(os.environ["HOME"])
        assert (await desk.call("test__show_environment", name="GPTOSS_ACP_SEED")).startswith("None ")
        assert running(tmp_path)
    assert not running(tmp_path)


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_a_server_on_the_network_has_its_tools_called(kind: str, tmp_path: Path) -> None:
    with listening(tmp_path, kind) as (server, process):
        async with ready(tmp_path, server) as desk:
            assert await desk.call("test__add", a=1, b=2) == "3"
            assert await desk.call("test__show_environment", name="x") == f"None secret {Path.cwd()}"
            waiting = asyncio.create_task(desk.call("test__wait"))
            await settled((tmp_path / "waiting").exists, PATIENT)
            process.kill()
            gone = "the connection to the MCP server test is lost; do without it, and tell the user."
            assert await waiting == f"Error: {gone}"
            assert await desk.call("test__add", a=1, b=2) == f"Error: {gone}"


async def test_what_is_no_text_is_described(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        assert (await desk.call("test__mixed")).splitlines() == [
            "some text",
            "[image, image/png, 9 bytes; it can't be shown here]",
            "note://1",
            "a note",
            "[blob://1, image/png, 9 bytes; it can't be shown here]",
            "[a link](file:///a) to a file",
        ]
        result = await desk.call("test__long", count=10**6)
        assert len(result) <= LONGEST_RESULT + 100
        assert "characters left out" in result


async def test_what_a_tool_can_not_do_is_an_error_that_says_why(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        failed = await desk.call("test__fail")
        assert failed.startswith("Error: ")
        assert "nothing works today" in failed
        assert desk.last["status"] == "failed"
        assert (await desk.call("test__add", a="x")).startswith("Error: ")
        assert "test__add" in await desk.call("test__subtract")
        assert await desk.call("test__add", "no json") != "3"
        assert not (tmp_path / "added").exists()


# Servers that do not


async def test_those_that_fail_are_named_once_and_the_others_work(tmp_path: Path) -> None:
    closed = HttpMcpServer(type="http", name="closed", url="http://127.0.0.1:1/mcp", headers=[])
    missing = McpServerStdio(name="missing", command="/no/such/program", args=[], env=[])
    ends = shell("echo first >&2; echo 'the key is missing' >&2; exit 1", "ends")
    async with ready(tmp_path, closed, missing, program(tmp_path), ends) as desk:
        assert await desk.call("test__add", a=1, b=2) == "3"
        problems = desk.servers.take_problems()
        assert [problem.split()[3] for problem in problems] == ["closed", "missing", "ends"]
        assert "/no/such/program: command not found" in problems[1]
        assert "the key is missing" in problems[2]
        assert desk.servers.take_problems() == []


async def test_one_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptoss_acp.tools.mcp.servers.CONNECT_SECONDS", 1.0)
    hanging = shell(f"echo $$ > {tmp_path}/pid; while :; do sleep 1; done")
    async with ready(tmp_path, hanging) as desk:
        assert names(desk.servers) == []
        (problem,) = desk.servers.take_problems()
        assert "it did not answer within 1 seconds" in problem
        assert not running(tmp_path)


async def test_a_prompt_waits_for_servers_only_so_long(tmp_path: Path) -> None:
    servers = Servers([shell("exec sleep 60")], tmp_path, render.tellable)
    began = time.monotonic()
    await servers.settled(0.3)
    await servers.settled(0.3)
    assert 0.3 <= time.monotonic() - began < CONNECT_SECONDS / 2
    servers.stop()
    await servers.settled()
    assert servers.take_problems() == []


def test_the_sdk_which_is_slow_to_import_is_left_alone_without_servers() -> None:
    program = "import sys, gptoss_acp.session; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=REPOSITORY).returncode == 0


async def test_no_servers_are_waited_for_at_once(tmp_path: Path) -> None:
    servers = Servers([], tmp_path, render.tellable)
    await servers.settled(0.0)
    await servers.settled()
    assert servers.tools() == []


@pytest.mark.parametrize("how", ["killed", "dies in the call"])
async def test_a_server_that_dies_is_an_error_that_says_so(how: str, tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        if how == "killed":
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
            await settled(lambda: not running(tmp_path))
        else:
            assert "is lost" in await desk.call("test__die")
        gone = "Error: the connection to the MCP server test is lost; do without it, and tell the user."
        assert await desk.call("test__add", a=1, b=2) == gone
        assert await desk.call("test__add", a=1, b=3) == gone


async def test_a_call_is_cancelled_at_the_server_too(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        calling = asyncio.create_task(desk.call("test__wait"))
        await settled((tmp_path / "waiting").exists, PATIENT)
        calling.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert time.monotonic() - began < 1
        assert desk.last["status"] == "failed"
        await settled((tmp_path / "cancelled").exists, PATIENT)
        assert await desk.call("test__add", a=1, b=2) == "3"


async def test_a_call_to_a_server_that_reads_nothing_can_be_cancelled(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGSTOP)
        calls = [asyncio.create_task(desk.call("test__throw", what="x" * 500_000 + str(number))) for number in range(3)]
        await asyncio.sleep(0.3)
        began = time.monotonic()
        for calling in calls:
            calling.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*calls, return_exceptions=True)
        )
        assert time.monotonic() - began < 1
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)


async def test_a_call_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        monkeypatch.setattr("gptoss_acp.tools.mcp.connection.CALL_SECONDS", 0.5)
        assert await desk.call("test__wait") == "Error: the MCP server did not answer within 0.5 seconds."


async def test_a_server_that_will_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path, "stubborn")) as desk:
        assert await desk.call("test__add", a=1, b=2) == "3"
        assert running(tmp_path)
        assert running(tmp_path, "child")
    await settled(lambda: not running(tmp_path) and not running(tmp_path, "child"), PATIENT)


# What the model is told


async def test_tools_that_come_late_are_told_with_the_next_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_acp.tools.mcp.servers.PATIENCE_SECONDS", 0.0)
    (tmp_path / "script").write_text(
        json.dumps({"generations": [final("Yes."), tool_call("functions.test__add", "{")]})
    )
    desk = Desk(tmp_path)
    desk.peer.notify_text = lambda *_: None  # type: ignore[attr-defined]
    told: list[str] = []
    session = Session(
        desk.workspace,
        ScriptedEngine(tmp_path / "script"),
        Updates(desk.face._connection, "session", lambda _: None),
        Settings(max_turn_requests=1, titles="off"),
        new_journal(),
        trace=cast(Trace, SimpleNamespace(prompt=lambda tokens: told.append(text_of(tokens)), token=lambda _: None)),
        mcp_servers=[program(tmp_path)],
    )
    assert (await session.prompt("one")).stop_reason == "end_turn"
    await session._servers.settled()
    await session.prompt("two")
    await session.close()
    await asyncio.gather(*(server._living for server in session._servers._servers), return_exceptions=True)
    assert "test__add" not in told[0]
    assert told[1].count("type test__add = ") == 1
    assert told[1].index("type update_plan = ") < told[1].index("type test__add = ") < told[1].index("one<|end|>")
    assert told[1].startswith(told[0][: told[0].index("} // namespace functions")])


# Permission


@pytest.mark.parametrize(
    ("mode", "asked", "done"),
    [
        ("read-only", ["test__add"], ["added"]),
        ("ask", ["test__add", "test__throw"], ["added", "thrown"]),
        ("auto-edit", ["test__add", "test__throw"], ["added", "thrown"]),
        ("full-access", [], ["added", "thrown"]),
    ],
)
async def test_the_mode_decides_and_a_hint_never_spares_the_question(
    mode: Mode, asked: list[str], done: list[str], tmp_path: Path
) -> None:
    async with ready(tmp_path, program(tmp_path), mode=mode, answer="reject-once") as desk:
        refused = [await desk.call("test__add", a=1, b=2), await desk.call("test__throw", what="x")]
        if mode != "full-access":
            assert [text.startswith("Error: ") for text in refused] == [True, True]
            assert not (tmp_path / "added").exists()
            assert not (tmp_path / "thrown").exists()
        desk.answer = "allow-once"
        for _ in range(2):
            await desk.call("test__add", a=3, b=4)
            await desk.call("test__throw", what="y")
        assert [name for name in ("added", "thrown") if (tmp_path / name).exists()] == done
        assert len(desk.permissions_asked) == 3 * len(asked)


async def test_the_question_says_what_is_called_and_always_covers_that_tool_alone(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path), mode="ask", answer="allow-always") as desk:
        await desk.call("test__add", a=1, b=2)
        await desk.call("test__add", a=3, b=4)
        assert len(desk.permissions_asked) == 1
        await desk.call("test__throw", what="x")
        first, second = desk.permissions_asked
    assert first["toolCall"]["title"] == "Add two numbers (test, says that it changes nothing)"
    assert first["toolCall"]["kind"] == "other"
    assert first["toolCall"]["rawInput"] == {"a": 1, "b": 2}
    assert first["options"][1]["name"] == "Always allow test__add in this session"
    assert second["toolCall"]["title"] == "Throw away (test, says that it can destroy)"


# Names and schemas


async def test_names_are_safe_distinct_and_stay_the_same(tmp_path: Path) -> None:
    given = ["a", "a", "a__b", "ä ö", "", "x" * 200, "a-2", "a_"]
    servers = Servers([shell("exec sleep 60", name) for name in given], tmp_path, render.tellable)
    prefixes = [server._prefix for server in servers._servers]
    servers.stop()
    assert prefixes == ["a", "a-2", "a_b", "mcp", "tool", "x" * 30, "a-2-2", "a-3"]
    assert _distinct(iter(["t" * 64, "t" * 64, "u"])) == ["t" * 64, "t" * 60 + "-2", "u"]


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
    grammar_of([tool]).processor(header)


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
    tool = render.tellable(ToolDescription("t", "", plain(schema)))
    shown = "".join(encoding.load().decode(render.developer("", [tool])).split())
    assert "items?:{x?:number,more?:any,}[]" in shown
    assert "name?:|string|any" in shown
    assert "definitions?:string" in shown
    assert "Definitions" not in shown


async def test_a_server_with_too_much_to_tell_is_told_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptoss_acp.tools.mcp.servers.LONGEST_DESCRIPTIONS", 300)
    async with ready(tmp_path, program(tmp_path)) as desk:
        told = len(names(desk.servers))
        assert 0 < told < 9
        assert desk.servers.take_problems() == [
            f"The model is not told of {9 - told} of the 9 tools of the MCP server test: their descriptions are too long."
        ]
