"""Mistakes of MCP servers: each costs one thing, a tool, a call, a piece of an answer, and the user hears of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from acp.schema import McpServerStdio

from gptoss_acp.harmony import render
from gptoss_acp.tools.mcp import servers
from gptoss_acp.tools.mcp.servers import Servers
from tests.support.editor import Editor, opened
from tests.support.mcp_desk import PATIENT, McpDesk, names, ready
from tests.support.places import REPOSITORY
from tests.support.tokens import final, tool_call
from tests.support.waiting import settled

PROGRAM = REPOSITORY / "tests" / "support" / "raw_mcp_server.py"


def raw(kind: str, folder: Path) -> McpServerStdio:
    return McpServerStdio(name="raw", command=sys.executable, args=[str(PROGRAM), kind, str(folder)], env=[])


async def test_a_tool_that_is_described_otherwise_than_agreed_costs_itself(tmp_path: Path) -> None:
    async with ready(tmp_path, raw("bad tools", tmp_path)) as desk:
        assert names(desk.servers) == ["raw__good", "raw__late"]
        assert desk.servers.take_problems() == [
            (
                "Some tools of the MCP server raw are not described as agreed, and can't be used: "
                "bad, one without a name, one without a name."
            )
        ]
        assert await desk.call("raw__late") == "fine"


ANSWERS = {
    "half an emoji": "a\ufffdc",
    "no JSON": "Error: the MCP server refused the call: its answer is no valid JSON.",
    "of another kind": "[hologram; it can't be shown here]\nand text\n[int; it can't be shown here]",
    "talking": "fine",
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_an_answer_that_is_not_as_agreed_costs_what_is_wrong_with_it(kind: str, tmp_path: Path) -> None:
    async with ready(tmp_path, raw(kind, tmp_path)) as desk, asyncio.timeout(20):
        assert await desk.call("raw__good") == ANSWERS[kind]
        assert await desk.call("raw__good", {"again": 1}) == ANSWERS[kind]
        assert desk.servers.take_problems() == []


async def test_a_structured_part_that_does_not_fit_is_shown_as_it_is_with_a_note(tmp_path: Path) -> None:
    note = "\n(the structured part of this answer is missing or not as the tool's description says)"
    async with ready(tmp_path, raw("structured", tmp_path)) as desk:
        assert await desk.call("raw__good") == "fine"
        assert await desk.call("raw__missing") == "plain only" + note
        assert await desk.call("raw__wrong") == "plain" + note
        assert (await desk.call("raw__odd")).startswith("fine")


async def test_tools_that_a_server_adds_are_there_after_the_call(tmp_path: Path) -> None:
    async with ready(tmp_path, raw("changing", tmp_path)) as desk:
        assert await desk.call("raw__good") == "fine"
        await settled(lambda: names(desk.servers) == ["raw__good", "raw__added"])


async def test_a_slow_server_is_announced_and_taken_when_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "CONNECT_SECONDS", 0.3)
    ours = Servers([raw("slow", tmp_path)], tmp_path, render.tellable)
    await ours.settled()
    assert ours.take_problems() == ["The MCP server raw is not ready yet; its tools come when it is."]
    await settled(lambda: names(ours) == ["raw__good"], PATIENT)
    assert ours.take_problems() == []
    ours.stop()
    await ours.stopped()


async def test_a_servers_death_is_told_with_what_it_said_last_and_it_is_started_again(tmp_path: Path) -> None:
    ours = Servers([raw("dying", tmp_path)], tmp_path, render.tellable)
    await ours.settled(PATIENT)
    desk = McpDesk(tmp_path, ours)
    assert "the connection to the MCP server raw is lost" in await desk.call("raw__good")
    await settled(ours._servers[0]._living.done, 20)
    ours.restart_ended()
    await ours.settled(PATIENT)
    (problem,) = ours.take_problems()
    assert problem == (
        "The MCP server raw had ended: the connection has ended; the last it said: the disk is on fire. "
        "It is started again at the next prompt."
    )
    assert names(ours) == ["raw__good"]
    assert (tmp_path / "started").read_text() == "xx"
    ours.stop()
    await ours.stopped()
    ours.restart_ended()
    assert (tmp_path / "started").read_text() == "xx"


async def test_what_a_server_adds_can_be_called_in_the_same_turn(tmp_path: Path) -> None:
    editor = Editor()
    script = [tool_call("functions.raw__good", "{}"), tool_call("functions.raw__added", "{}"), final("Done.")]
    options = ["--mode", "full-access"]
    async with opened(editor, tmp_path, *script, arguments=options, servers=[raw("changing", tmp_path)]) as session:
        assert await session.prompt() == "end_turn"
        await editor.until(lambda: "Done." in editor.text())
    assert [call["status"] for call in editor.calls()] == ["completed", "completed"]
