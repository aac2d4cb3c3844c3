"""The MCP servers of a session: which tools they bring, what happens when one fails, and who allows a call."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from acp.schema import HttpMcpServer, McpServerStdio

from gptoss_acp.engine.api import Trace
from gptoss_acp.engine.scripted import ScriptedEngine
from gptoss_acp.harmony import render
from gptoss_acp.protocol.updates import Updates
from gptoss_acp.session import Session
from gptoss_acp.settings import Mode, Settings
from gptoss_acp.tools.mcp.servers import CONNECT_SECONDS, Servers, _distinct
from tests.support.desk import Desk, new_journal
from tests.support.mcp_desk import McpDesk, names, program, programs_have_ended, ready, running, shell
from tests.support.places import REPOSITORY
from tests.support.tokens import final, text_of, tool_call
from tests.support.waiting import settled

# Servers that work


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
        Updates(desk.face, lambda _: None),
        Settings(max_turn_requests=1, titles="off"),
        new_journal(),
        trace=cast(Trace, SimpleNamespace(prompt=lambda tokens: told.append(text_of(tokens)), token=lambda _: None)),
        mcp_servers=[program(tmp_path)],
    )
    assert (await session.prompt("one")).stop_reason == "end_turn"
    await session._servers.settled()
    await session.prompt("two")
    await session.close()
    await programs_have_ended()
    assert "test__add" not in told[0]
    assert told[1].count("type test__add = ") == 1
    assert told[1].index("type update_plan = ") < told[1].index("type test__add = ") < told[1].index("one<|end|>")
    assert told[1].startswith(told[0][: told[0].index("} // namespace functions")])


# Permission


BY_MODE: dict[Mode, tuple[int, list[str]]] = {
    "read-only": (1, ["added"]),
    "ask": (2, ["added", "thrown"]),
    "auto-edit": (2, ["added", "thrown"]),
    "full-access": (0, ["added", "thrown"]),
}
"""How many of the two tools are asked about, and which of them may be called."""


async def test_the_mode_decides_and_a_hint_never_spares_the_question(subtests: pytest.Subtests, tmp_path: Path) -> None:
    def done() -> list[str]:
        return [name for name in ("added", "thrown") if (tmp_path / name).exists()]

    async with ready(tmp_path, program(tmp_path)) as connected:
        for mode, (asked, allowed) in BY_MODE.items():
            with subtests.test(mode):
                for name in done():
                    (tmp_path / name).unlink()
                desk = McpDesk(tmp_path, connected.servers, mode, answer="reject_once")
                refused = [await desk.call("test__add", a=1, b=2), await desk.call("test__throw", what="x")]
                if mode != "full-access":
                    assert [text.startswith("Error: ") for text in refused] == [True, True]
                    assert done() == []
                desk.answer = "allow_once"
                for _ in range(2):
                    await desk.call("test__add", a=3, b=4)
                    await desk.call("test__throw", what="y")
                assert done() == allowed
                assert len(desk.permissions_asked) == 3 * asked


async def test_the_question_says_what_is_called_and_always_covers_that_tool_alone(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path), mode="ask", answer="allow_always") as desk:
        await desk.call("test__add", a=1, b=2)
        await desk.call("test__add", a=3, b=4)
        assert len(desk.permissions_asked) == 1
        await desk.call("test__throw", what="x")
        first, second = desk.permissions_asked
    assert first["toolCall"]["title"] == "test: Add two numbers, says that it changes nothing"
    assert first["toolCall"]["kind"] == "other"
    assert first["toolCall"]["rawInput"] == {"a": 1, "b": 2}
    assert '"a": 1' in first["toolCall"]["content"][0]["content"]["text"]
    assert first["options"][1]["name"] == "Always allow test__add in this session"
    assert second["toolCall"]["title"] == "test: Throw away, says that it can destroy"


# Names and schemas


async def test_names_are_safe_distinct_and_stay_the_same(tmp_path: Path) -> None:
    given = ["a", "a", "a__b", "ä ö", "", "x" * 200, "a-2", "a_"]
    servers = Servers([shell("exec sleep 60", name) for name in given], tmp_path, render.tellable)
    prefixes = [server._prefix for server in servers._servers]
    servers.stop()
    assert prefixes == ["a", "a-2", "a_b", "mcp", "tool", "x" * 30, "a-2-2", "a-3"]
    assert _distinct(iter(["t" * 64, "t" * 64, "u"])) == ["t" * 64, "t" * 60 + "-2", "u"]


async def test_a_server_with_too_much_to_tell_is_told_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptoss_acp.tools.mcp.servers.LONGEST_DESCRIPTIONS", 300)
    async with ready(tmp_path, program(tmp_path)) as desk:
        told = len(names(desk.servers))
        assert 0 < told < 10
        assert desk.servers.take_problems() == [
            f"The model is not told of {14 - told} of the 14 tools of the MCP server test: their descriptions are too long."
        ]


async def test_of_a_server_with_very_many_tools_it_is_told_that_there_are_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_acp.tools.mcp.connection.MOST_TOOLS", 3)
    async with ready(tmp_path, program(tmp_path)) as desk:
        assert len(names(desk.servers)) == 3
        assert desk.servers.take_problems() == [
            "The MCP server test has more than the 3 tools that are asked for; the others can't be used."
        ]
