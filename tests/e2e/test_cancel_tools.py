"""Cancelling a turn at every stage of a tool call: it stops at once, leaves nobody behind, and the next prompt works."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.cancelling import cancel_when, next_prompt_works
from tests.support.editor import Answer, Editor, opened
from tests.support.processes import alive, children, noted
from tests.support.tokens import final, tool_call
from tests.support.waiting import settled

SLEEP = '{"command": ["sh", "-c", "echo $$ > pid; echo begun; exec sleep 60"]}'
PATCH = "*** Begin Patch\n*** Add File: a\n" + "".join(f"+{number}\n" for number in range(300)) + "*** End Patch"
CLIENTS = pytest.mark.parametrize("client", [{}, {"fs": True, "terminal": True}], ids=["bare client", "editor"])


@CLIENTS
async def test_while_the_arguments_stream(client: dict[str, Any], tmp_path: Path) -> None:
    editor = Editor("allow_once")
    generations = [tool_call("functions.apply_patch", PATCH), final("Fine.")]
    async with opened(editor, tmp_path, *generations, delay=0.01, **client) as session:
        assert await cancel_when(editor, session, editor.calls) < 0.5
        assert not (tmp_path / "work/a").exists()
        await next_prompt_works(editor, session)


@CLIENTS
async def test_while_permission_is_open(client: dict[str, Any], tmp_path: Path) -> None:
    editor = Editor("nothing")
    async with opened(editor, tmp_path, tool_call("functions.shell", SLEEP), final("Fine."), **client) as session:
        assert await cancel_when(editor, session, lambda: editor.permissions) < 0.5
        assert not (tmp_path / "work/pid").exists()
        await next_prompt_works(editor, session)


@pytest.mark.parametrize("tool", ["shell", "apply_patch"])
async def test_by_cancelling_the_permission_request(tool: str, tmp_path: Path) -> None:
    answer: Answer = "cancelled"
    editor = Editor(answer)
    call = tool_call(f"functions.{tool}", SLEEP if tool == "shell" else PATCH)
    async with opened(editor, tmp_path, call, final("Fine.")) as session:
        assert await session.prompt() == "cancelled"
        await next_prompt_works(editor, session)
        assert [call["status"] for call in editor.calls()] == ["failed"]
    assert list((tmp_path / "work").iterdir()) == []


@CLIENTS
async def test_while_a_command_runs(client: dict[str, Any], tmp_path: Path) -> None:
    editor = Editor("allow_once")
    pid = tmp_path / "work/pid"
    async with opened(editor, tmp_path, tool_call("functions.shell", SLEEP), final("Fine."), **client) as session:

        def running() -> bool:
            shown = str(editor.calls() and editor.calls()[0].get("content"))
            return "begun" in shown or any("begun" in terminal.output for terminal in editor.terminals)

        assert await cancel_when(editor, session, running) < 0.5
        assert not alive(noted(pid))
        assert children(session.process.pid) == []
        assert all(terminal.released for terminal in editor.terminals)
        await next_prompt_works(editor, session)


async def test_a_second_prompt_cancels_a_running_command(tmp_path: Path) -> None:
    editor = Editor("allow_once")
    async with opened(editor, tmp_path, tool_call("functions.shell", SLEEP), final("Fine.")) as session:
        first = asyncio.create_task(session.prompt())
        await editor.until(lambda: editor.calls() and "begun" in str(editor.calls()[0].get("content")))
        assert await session.prompt() == "end_turn"
        assert await first == "cancelled"
        assert children(session.process.pid) == []


@pytest.mark.parametrize("end", ["closed", "killed"])
async def test_a_command_does_not_outlive_the_program(end: str, tmp_path: Path) -> None:
    editor = Editor("allow_once")
    async with opened(editor, tmp_path, tool_call("functions.shell", SLEEP), final("Fine.")) as session:
        turn = asyncio.create_task(session.prompt())
        await editor.until(lambda: editor.calls() and "begun" in str(editor.calls()[0].get("content")))
        number = noted(tmp_path / "work/pid")
        assert alive(number)
        if end == "killed":
            session.process.kill()
        else:
            assert session.process.stdin is not None
            session.process.stdin.close()
        await asyncio.wait_for(session.process.wait(), 3)
        await settled(lambda: not alive(number), 3)
        turn.cancel()


async def test_a_client_that_never_answers_does_not_keep_the_program_alive(tmp_path: Path) -> None:
    editor = Editor("nothing")
    async with opened(editor, tmp_path, tool_call("functions.shell", SLEEP), final("Fine.")) as session:
        turn = asyncio.create_task(session.prompt())
        await editor.until(lambda: editor.permissions)
        assert session.process.stdin is not None
        session.process.stdin.close()
        assert await asyncio.wait_for(session.process.wait(), 3) == 0
        turn.cancel()
