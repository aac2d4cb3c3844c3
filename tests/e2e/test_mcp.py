"""MCP servers through the real program: their tools called, their failures shown, and none of them left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.cancelling import cancel_when, next_prompt_works
from tests.support.editor import Editor, Open, opened, prompts
from tests.support.mcp_desk import PATIENT, program, running, shell
from tests.support.spawner import Spawner
from tests.support.tokens import final, tool_call
from tests.support.waiting import settled

ADD = tool_call("functions.test__add", '{"a": 1, "b": 2}')


async def until_ready(folder: Path) -> None:
    """Wait for the server, which takes longer on a busy machine than a prompt waits for it."""
    (log,) = (folder / "home/state").rglob("gptoss-acp.log")
    await settled(lambda: "MCP server test is ready" in log.read_text(), PATIENT)


async def test_the_model_calls_a_server_and_hears_its_answer(tmp_path: Path) -> None:
    editor = Editor("allow_once")
    async with opened(editor, tmp_path, ADD, final("Three."), servers=[program(tmp_path)]) as session:
        await until_ready(tmp_path)
        assert await session.prompt() == "end_turn"
        await editor.until(lambda: "Three." in editor.text())
    assert editor.text() == "Three."
    (call,) = editor.calls()
    assert call["statuses"] == ["pending", "in_progress", "completed"]
    assert (call["kind"], call["rawInput"], call["rawOutput"]) == ("other", {"a": 1, "b": 2}, {"result": "3"})
    ((asked, options),) = editor.permissions
    assert asked.title == "test: Add two numbers, says that it changes nothing"
    assert [option.kind for option in options] == ["allow_once", "allow_always", "reject_once"]
    first, second = prompts(tmp_path)
    assert "// Add two numbers.\ntype test__add = (_: {\na: number,\nb: number,\n}) => any;" in first
    assert second.startswith(first)
    assert "<|start|>functions.test__add to=assistant<|channel|>commentary<|message|>3<|end|>" in second


async def test_a_server_that_fails_is_shown_once_and_the_prompt_answered(tmp_path: Path) -> None:
    editor = Editor()
    broken = shell("echo 'the key is missing' >&2; exit 1")
    async with opened(editor, tmp_path, final("Fine."), servers=[broken]) as session:
        assert await session.prompt() == "end_turn"
        assert await session.prompt() == "end_turn"
        await editor.until(lambda: editor.text().count("Fine.") == 2)
    assert editor.text().count("The MCP server broken is not available") == 1
    assert "the key is missing" in editor.text()
    assert "Going on without it.\n\nFine." in editor.text()
    assert all("type exec = " in prompt and "broken" not in prompt for prompt in prompts(tmp_path))


def test_a_client_that_knows_notices_is_told_of_a_server_that_fails_by_one(spawn: Spawner) -> None:
    agent = spawn.scripted(final("Fine."))
    knows = {"protocolVersion": 1, "clientCapabilities": {"session": {"notices": {}}}}
    agent.result(agent.ask("initialize", knows))
    broken = {"name": "broken", "command": "sh", "args": ["-c", "exit 1"], "env": []}
    opened = agent.result(agent.ask("session/new", {"cwd": str(agent.home), "mcpServers": [broken]}))
    session = opened["sessionId"]
    agent.result(agent.prompt(session, "Go"))
    (told,) = agent.updates(session, "notice")
    assert told.message["params"]["update"]["title"].startswith("The MCP server broken is not available")
    assert agent.messages(session) == ["Fine."]


async def test_cancelling_while_a_server_is_waited_for(tmp_path: Path) -> None:
    editor = Editor()
    async with opened(editor, tmp_path, final("Fine."), servers=[shell("exec sleep 60")]) as session:
        turn = asyncio.create_task(session.prompt())
        await settled(lambda: "session/prompt" in (tmp_path / "trace").read_text("utf-8"), PATIENT)
        await session.cancel()
        async with asyncio.timeout(3):
            assert await turn == "cancelled"


async def test_cancelling_while_a_call_runs(tmp_path: Path) -> None:
    editor = Editor("allow_once")
    call = tool_call("functions.test__wait", "{}")
    async with opened(editor, tmp_path, call, final("Fine."), servers=[program(tmp_path)]) as session:
        await until_ready(tmp_path)
        noticing = asyncio.create_task(notice(editor, tmp_path / "waiting"))
        assert await cancel_when(editor, session, noticing.done) < 0.5
        await settled((tmp_path / "cancelled").exists, PATIENT)
        await next_prompt_works(editor, session)
    assert "Error: cancelled by the user." in prompts(tmp_path)[-1]


async def notice(editor: Editor, file: Path) -> None:
    """Wait for a file, and let the editor look again."""
    await settled(file.exists, PATIENT)
    asyncio.get_running_loop().call_soon(editor.changed.set)


@pytest.mark.parametrize("kind", ["stdio", "stubborn"])
@pytest.mark.parametrize("end", ["closed", "killed", "terminated"])
async def test_a_server_does_not_outlive_the_program(end: str, kind: str, tmp_path: Path) -> None:
    async with opened(Editor(), tmp_path, final("Fine."), servers=[program(tmp_path, kind)]) as session:
        await until_ready(tmp_path)
        assert running(tmp_path)
        code = await ended(session, end)
        assert code == (-9 if end == "killed" else 0)
    everyone = ["pid", "child"] if kind == "stubborn" else ["pid"]
    await settled(lambda: not any(running(tmp_path, one) for one in everyone), 10)


async def ended(session: Open, how: str) -> int:
    if how == "closed":
        assert session.process.stdin is not None
        session.process.stdin.close()
    else:
        session.process.send_signal(9 if how == "killed" else 15)
    return await asyncio.wait_for(session.process.wait(), 3)
