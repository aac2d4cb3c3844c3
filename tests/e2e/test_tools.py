"""Every tool and mode through the real program, with and without the editor's files and terminals."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from acp import RequestError

from gptoss_acp.engine.api import Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.scripted import ScriptedEngine
from gptoss_acp.session import Session
from gptoss_acp.settings import Settings
from tests.support.desk import Desk, new_journal
from tests.support.editor import Editor, opened
from tests.support.tokens import final, preamble, said, system_call, text_of, thought, tool_call

BARE: dict[str, Any] = {}
EDITOR = {"fs": True, "terminal": True}
CLIENTS = pytest.mark.parametrize("client", [BARE, EDITOR], ids=["bare client", "editor"])

PATCH = "*** Begin Patch\n*** Update File: a.txt\n-two\n+2\n*** Add File: sub/b.txt\n+b\n*** End Patch"
SHELL = '{"command": ["sh", "-c", "cat a.txt; touch made"]}'


def work(folder: Path) -> Path:
    """Return the session's folder, with a file in it."""
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work/a.txt").write_text("one\ntwo\n")
    return folder / "work"


TOOLS = {
    "repo_browser.open_file": ('{"path": "a.txt", "line_start": 2}', "L2: two", "read", "Read a.txt"),
    "repo_browser.print_tree": ('{"path": "", "depth": 2}', "a.txt", "read", "List ."),
    "repo_browser.search": ('{"path": "", "query": "t.o"}', "a.txt:2:two", "search", "Search t.o"),
    "repo_browser.apply_patch": (
        PATCH,
        "Success. Updated the following files:\nM a.txt\nA sub/b.txt",
        "edit",
        "Edit a.txt, sub/b.txt",
    ),
    "container.exec": (SHELL, "Exit code: 0\nOutput:\none\ntwo\n", "execute", "sh -c 'cat a.txt; touch made'"),
    "python": ("print(1 + 1)", "Exit code: 0\nOutput:\n2\n", "execute", "print(1 + 1)"),
    "functions.update_plan": (
        '{"plan": [{"step": "x", "status": "pending"}]}',
        "Plan updated.",
        "think",
        "Update the plan",
    ),
}


async def test_a_name_that_is_not_utf_8_is_shown_as_far_as_it_can_be(tmp_path: Path) -> None:
    (work(tmp_path) / os.fsdecode(b"caf\xe9.txt")).touch()
    editor = Editor()
    async with opened(
        editor, tmp_path, system_call("repo_browser.print_tree", '{"path": "", "depth": 1}'), final("Fine.")
    ) as session:
        assert await session.prompt() == "end_turn"
        await editor.until(lambda: "Fine." in editor.text())
    (shown,) = editor.calls()
    assert (shown["status"], shown["rawOutput"]["result"]) == ("completed", "a.txt\ncaf?.txt")


@CLIENTS
@pytest.mark.parametrize("tool", TOOLS)
async def test_the_model_gets_the_result_of(tool: str, client: dict[str, Any], tmp_path: Path) -> None:
    folder = work(tmp_path)
    arguments, result, kind, title = TOOLS[tool]
    editor = Editor("allow_once")
    call = said(thought("hm"), preamble("Doing it."), system_call(tool, arguments))
    async with opened(editor, tmp_path, call, final("Done."), **client) as session:
        assert await session.prompt() == "end_turn"
        await editor.until(lambda: "Done." in editor.text())
    (shown,) = editor.calls()
    assert shown["statuses"] == (
        ["pending", "completed"] if tool == "functions.update_plan" else ["pending", "in_progress", "completed"]
    )
    assert (shown["kind"], shown["title"]) == (kind, title)
    assert shown["rawInput"] == (json.loads(arguments) if arguments[0] == "{" else {"input": arguments})
    assert editor.text() == "Doing it.Done."
    if tool == "repo_browser.apply_patch":
        assert (folder / "a.txt").read_text() == "one\n2\n"
        assert [content["type"] for content in shown["content"]] == ["diff", "diff"]
        assert ("fs/write_text_file" in editor.asked) == bool(client)
    if kind == "execute":
        assert (folder / "made").exists() == (tool == "container.exec")
        assert [content["type"] for content in shown["content"]] == ["terminal" if client else "content"]
        assert shown["rawOutput"] == {"exitCode": 0, "output": result.removeprefix("Exit code: 0\nOutput:\n")}
        assert all(terminal.released for terminal in editor.terminals)
    else:
        assert shown["rawOutput"] == {"result": result}
    assert ("session/request_permission" in editor.asked) == (kind in {"edit", "execute"})


def writes_and_runs() -> list[list[int]]:
    patch = "*** Begin Patch\n*** Add File: new\n+x\n*** End Patch"
    return [
        tool_call("functions.apply_patch", patch),
        tool_call("functions.shell", '{"command": ["touch", "made"]}'),
        tool_call("functions.read_file", '{"path": "../outside"}'),
        tool_call("functions.apply_patch", "*** Begin Patch\n*** Update File: ../outside\n-x\n+y\n*** End Patch"),
        final("Done."),
    ]


MODES = {
    # what is written, run, and read outside when the user allows everything; how often the user is asked
    "read-only": (False, False, True, False, 1),
    "ask": (True, True, True, False, 3),
    "auto-edit": (True, True, True, False, 2),
    "full-access": (True, True, True, True, 0),
}


@CLIENTS
@pytest.mark.parametrize("mode", MODES)
async def test_the_mode_decides_what_is_done_and_what_is_asked(
    mode: str, client: dict[str, Any], tmp_path: Path
) -> None:
    folder = work(tmp_path)
    (tmp_path / "outside").write_text("x\n")
    editor = Editor("allow_once")
    async with opened(editor, tmp_path, *writes_and_runs(), **client) as session:
        option = next(option for option in session.created.config_options if option.id == "mode")
        assert (option.current_value, option.category) == ("ask", "mode")
        assert session.created.modes.current_mode_id == "ask"
        answer = await session.connection.set_config_option(session_id=session.identifier, config_id="mode", value=mode)
        assert answer.config_options[0].current_value == mode
        assert await session.prompt() == "end_turn"
        await editor.until(lambda: "Done." in editor.text())
        assert editor.of_kind("current_mode_update")[0].current_mode_id == mode
    written, run, read, written_outside, asked = MODES[mode]
    assert (folder / "new").exists() == written
    assert (folder / "made").exists() == run
    assert (editor.calls()[2]["status"] == "completed") == read
    assert (tmp_path / "outside").read_text() == ("y\n" if written_outside else "x\n")
    assert len(editor.permissions) == asked


async def test_the_mode_can_be_set_the_older_way_also_while_a_turn_runs(tmp_path: Path) -> None:
    folder = work(tmp_path)
    editor = Editor("reject_once")
    begins = tool_call("functions.shell", '{"command": ["sh", "-c", "until [ -e go ]; do sleep 0.02; done"]}')
    async with opened(editor, tmp_path, begins, *writes_and_runs()[:2], final("Done.")) as session:
        await session.connection.set_session_mode(session_id=session.identifier, mode_id="full-access")
        turn = asyncio.create_task(session.prompt())
        await editor.until(lambda: editor.calls() and editor.calls()[0]["status"] == "in_progress")
        await session.connection.set_session_mode(session_id=session.identifier, mode_id="read-only")
        (folder / "go").touch()
        assert await turn == "end_turn"
        await editor.until(lambda: "Done." in editor.text())
        assert [update.config_options[0].current_value for update in editor.of_kind("config_option_update")] == [
            "full-access",
            "read-only",
        ]
    assert [call["status"] for call in editor.calls()] == ["completed", "failed", "failed"]
    assert editor.permissions == []
    assert {path.name for path in folder.iterdir()} == {"a.txt", "go"}


async def test_a_mode_that_is_none_is_refused(tmp_path: Path) -> None:
    async with opened(Editor(), tmp_path, final("x")) as session:
        for params in ({"modeId": "yolo"}, {"modeId": 3}, {}):
            with pytest.raises(RequestError) as caught:
                await session.connection._conn.send_request(
                    "session/set_mode", {"sessionId": session.identifier, **params}
                )
            assert caught.value.code == -32602


async def test_a_refusal_is_told_to_the_model_and_the_turn_goes_on(tmp_path: Path) -> None:
    folder = work(tmp_path)
    editor = Editor("reject_once")
    async with opened(editor, tmp_path, *writes_and_runs()) as session:
        assert await session.prompt() == "end_turn"
        await editor.until(lambda: "Done." in editor.text())
    assert [call["status"] for call in editor.calls()] == ["failed"] * 4
    assert "the user did not allow it" in editor.calls()[0]["rawOutput"]["result"]
    assert {path.name for path in folder.iterdir()} == {"a.txt"}


async def test_always_lasts_for_the_session_and_no_longer(tmp_path: Path) -> None:
    work(tmp_path)
    call = tool_call("functions.shell", '{"command": ["git", "--version"]}')
    other = tool_call("functions.read_file", '{"path": "a.txt"}')
    editor = Editor("allow_always", "reject_once")
    async with opened(editor, tmp_path, call, other, call, final("Done."), call, final("Done.")) as session:
        assert await session.prompt() == "end_turn"
        assert len(editor.permissions) == 1
        second = await session.connection.new_session(cwd=str(tmp_path / "work"), mcp_servers=[])
        session.identifier = second.session_id
        assert await session.prompt() == "end_turn"
        assert len(editor.permissions) == 2


async def test_the_model_is_told_of_its_tools_and_of_their_results(tmp_path: Path) -> None:
    prompts: list[str] = []

    class Listening(ScriptedEngine):
        def generate(self, prompt: Sequence[int], sampling: Sampling, *more: Any) -> Generation:
            prompts.append(text_of(prompt))
            return super().generate(prompt, sampling)

    work(tmp_path)
    script = tmp_path / "script.json"
    call = system_call("repo_browser.open_file", '{"path": "a.txt"}')
    script.write_text(json.dumps({"generations": [call, final("x")]}))
    desk = Desk(tmp_path / "work")
    desk.peer.notify_text = lambda *_: None  # type: ignore[attr-defined]
    session = Session(desk.workspace, Listening(script), desk.runner._updates, Settings(titles="off"), new_journal())
    assert (await session.prompt("go")).stop_reason == "end_turn"
    assert "namespace repo_browser {" in prompts[0]
    assert "*** Begin Patch" in prompts[0]
    assert prompts[1].endswith(
        '<|start|>assistant<|channel|>analysis to=repo_browser.open_file code<|message|>{"path": "a.txt"}<|call|>'
        "<|start|>repo_browser.open_file to=assistant<|channel|>analysis<|message|>L1: one\nL2: two<|end|>"
        "<|start|>assistant"
    )
