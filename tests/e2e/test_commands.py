"""Slash commands through the real program, with and without the editor's files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from acp import RequestError

from gptoss_acp.briefing import developer_message
from gptoss_acp.conversation import slash_commands
from tests.support.editor import Editor, Open, opened, prompts
from tests.support.replaying import patch
from tests.support.spawner import Spawner
from tests.support.tokens import final, tool_call

CLIENTS = pytest.mark.parametrize("client", [{}, {"fs": True, "terminal": True}], ids=["bare client", "editor"])


async def told(editor: Editor, session: Open, command: str) -> str:
    """Send a command and return the message that answers it."""
    before = len(editor.of_kind("agent_message_chunk"))
    assert await session.prompt(command) == "end_turn"
    await editor.until(lambda: len(editor.of_kind("agent_message_chunk")) > before)
    (chunk,) = editor.of_kind("agent_message_chunk")[before:]
    assert chunk.message_id
    return str(chunk.content.text)


async def answered(editor: Editor, session: Open, prompt: str, answer: str) -> None:
    """Send a prompt to the model, whose script says `answer`."""
    before = len(editor.text())
    assert await session.prompt(prompt) == "end_turn"
    await editor.until(lambda: answer in editor.text()[before:])


# What there is


def test_commands_are_advertised_right_after_the_session_is_answered(spawn: Spawner) -> None:
    agent = spawn.scripted(final("x"))
    agent.initialize()
    session = agent.new_session()
    agent.read_until(lambda: bool(agent.updates(session, "available_commands_update")))
    (update,) = agent.updates(session, "available_commands_update")
    assert update.message["params"]["update"]["availableCommands"] == slash_commands.advertised()
    place = agent.received.index(update)
    assert agent.received[place - 1].message["result"]["sessionId"] == session


@pytest.mark.parametrize("prompt", ["/frobnicate it", "/etc/hosts is broken", "Say /clear", "/etc"])
async def test_what_is_no_command_goes_to_the_model_as_it_is(prompt: str, tmp_path: Path) -> None:
    editor = Editor()
    async with opened(editor, tmp_path, final("Heard.")) as session:
        await answered(editor, session, prompt, "Heard.")
    assert prompts(tmp_path)[0].endswith(f"<|start|>user<|message|>{prompt}<|end|><|start|>assistant")


@pytest.mark.parametrize("command", ["clear", "status", "undo", "init"])
async def test_an_argument_that_is_not_wanted_is_said_to_be_so(command: str, tmp_path: Path) -> None:
    editor = Editor()
    async with opened(editor, tmp_path, final("Ok.")) as session:
        await answered(editor, session, "My name is Ada", "Ok.")
        assert "takes no argument" in await told(editor, session, f"/{command} now")
        await answered(editor, session, "Who am I?", "Ok.")
    last = prompts(tmp_path)[-1]
    assert "My name is Ada" in last
    assert f"/{command}" not in last


async def test_clear_leaves_the_model_nothing_but_its_instructions(tmp_path: Path) -> None:
    editor = Editor()
    async with opened(editor, tmp_path, final("Ok.")) as session:
        await answered(editor, session, "My name is Ada", "Ok.")
        assert "cleared" in await told(editor, session, "/clear")
        used = editor.of_kind("usage_update")[-1].used
        await answered(editor, session, "Who am I?", "Ok.")
    first, second = prompts(tmp_path)
    assert second == first.replace("My name is Ada", "Who am I?")
    assert used < editor.of_kind("usage_update")[-1].used


async def test_status_says_how_things_stand(tmp_path: Path) -> None:
    editor = Editor()
    async with opened(editor, tmp_path, final("One two three."), arguments=["--context-length", "5000"]) as session:
        assert "Last turn" not in await told(editor, session, "/status")
        await answered(editor, session, "Hi", "One two three.")
        await told(editor, session, "/mode full-access")
        status = await told(editor, session, "/status")
    used = editor.of_kind("usage_update")[-1].used
    assert "Model: scripted" in status
    assert f"Context: {used:,} of 5,000 tokens used, {used / 5000:.0%}" in status
    assert "Mode: full-access; effort: medium" in status
    assert "tokens/s" in status
    assert "0 of" in status
    assert "in the cache" in status


async def test_init_is_a_prompt_with_its_own_request(tmp_path: Path) -> None:
    editor = Editor("allow_once")
    write = patch("*** Add File: AGENTS.md", "+# Notes")
    async with opened(editor, tmp_path, write, final("Written.")) as session:
        await answered(editor, session, "/init", "Written.")
    assert (tmp_path / "work/AGENTS.md").read_text() == "# Notes\n"
    request = developer_message.request("init")
    assert prompts(tmp_path)[0].endswith(f"<|start|>user<|message|>{request}<|end|><|start|>assistant")


# Mode and effort


async def test_the_mode_is_shown_set_and_told_to_the_client(tmp_path: Path) -> None:
    editor = Editor("reject_once")
    write = patch("*** Add File: a", "+1")
    async with opened(editor, tmp_path, write, final("Done.")) as session:
        assert "The mode is ask." in await told(editor, session, "/mode")
        assert "There is no mode 'yolo'" in await told(editor, session, "/mode yolo")
        assert editor.of_kind("current_mode_update") == []
        assert "The mode is auto-edit" in await told(editor, session, "/mode auto-edit")
        assert editor.of_kind("current_mode_update")[-1].current_mode_id == "auto-edit"
        options = {option.id: option for option in editor.of_kind("config_option_update")[-1].config_options}
        assert options["mode"].current_value == "auto-edit"
        await answered(editor, session, "Go", "Done.")
    assert editor.permissions == []
    assert (tmp_path / "work/a").exists()


async def test_the_effort_is_set_by_command_and_by_option(tmp_path: Path) -> None:
    editor = Editor()
    async with opened(editor, tmp_path, final("Ok.")) as session:
        option = next(option for option in session.created.config_options if option.id == "effort")
        assert (option.category, option.current_value) == ("thought_level", "medium")
        await answered(editor, session, "My name is Ada", "Ok.")
        for wrong in ("/effort", "/effort extreme"):
            assert "The effort is medium. Send `/effort low`" in await told(editor, session, wrong)
        assert editor.of_kind("config_option_update") == []
        assert await told(editor, session, "/effort high") == "The effort is high."
        options = {option.id: option for option in editor.of_kind("config_option_update")[-1].config_options}
        assert options["effort"].current_value == "high"
        await answered(editor, session, "Think", "Ok.")
        answer = await session.connection.set_config_option(
            session_id=session.identifier, config_id="effort", value="low"
        )
        now = {option.id: option.current_value for option in answer.config_options}
        assert now == {"mode": "ask", "model": "scripted", "effort": "low", "context": "all"}
        assert len(editor.of_kind("config_option_update")) == 1
        await answered(editor, session, "Hurry", "Ok.")
        for config, value in (("effort", "extreme"), ("speed", "high")):
            with pytest.raises(RequestError) as caught:
                await session.connection.set_config_option(session_id=session.identifier, config_id=config, value=value)
            assert caught.value.code == -32602
    medium, high, low = prompts(tmp_path)
    assert [prompt.split("Reasoning: ")[1].split("\n")[0] for prompt in (medium, high, low)] == [
        "medium",
        "high",
        "low",
    ]
    assert high.startswith(medium.removesuffix("<|start|>assistant").replace("Reasoning: medium", "Reasoning: high"))
    assert "My name is Ada" in low


# Undo

KINDS = {
    "add": ("*** Add File: sub/new", "+1"),
    "update": ("*** Update File: a", "-one", "+1"),
    "delete": ("*** Delete File: a",),
    "move": ("*** Update File: a", "*** Move to: b", "-one", "+1"),
    "several": ("*** Update File: a", "-one", "+1", "*** Add File: b", "+b", "*** Delete File: c"),
}


def files(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (path.read_text(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_file()
    }


def prepared(folder: Path) -> Path:
    work = folder / "work"
    work.mkdir()
    (work / "a").write_text("one\ntwo\n")
    (work / "a").chmod(0o755)
    (work / "c").write_text("c\n")
    return work


@CLIENTS
@pytest.mark.parametrize("kind", KINDS)
async def test_undo_gives_the_files_as_they_were(kind: str, client: dict[str, Any], tmp_path: Path) -> None:
    work = prepared(tmp_path)
    before = files(work)
    editor = Editor("allow_once")
    async with opened(editor, tmp_path, patch(*KINDS[kind]), final("Done."), **client) as session:
        await answered(editor, session, "Go", "Done.")
        changed = files(work)
        assert changed != before
        message = await told(editor, session, "/undo")
        await answered(editor, session, "And?", "Done.")
    assert files(work) == before
    for name in before.keys() ^ changed.keys():
        assert f"- {name}: " in message
    undo = editor.calls()[-1]
    assert (undo["title"], undo["kind"]) == ("Undo the last changes", "edit")
    assert undo["statuses"] == ["pending", "in_progress", "completed"]
    assert {content["type"] for content in undo["content"]} == {"diff"}
    assert len(editor.permissions) == 2
    last = prompts(tmp_path)[-1]
    assert "<|start|>user<|message|>I have taken back your last changes to these files: " in last


async def test_undo_takes_back_all_of_a_turn_and_then_the_turn_before(tmp_path: Path) -> None:
    work = prepared(tmp_path)
    before = files(work)
    editor = Editor()
    turns = [
        *(patch("*** Update File: a", "-one", "+1"), final("One.")),
        *(patch("*** Update File: a", "-1", "+2"), patch("*** Update File: a", "-2", "+3"), final("Two.")),
        *(tool_call("functions.read_file", '{"path": "a"}'), final("Three.")),
    ]
    async with opened(editor, tmp_path, *turns, arguments=["--mode", "full-access"]) as session:
        await answered(editor, session, "Go", "One.")
        first = files(work)
        await answered(editor, session, "Go", "Two.")
        assert (work / "a").read_text() == "3\ntwo\n"
        await answered(editor, session, "Go", "Three.")
        assert "- a: as before" in await told(editor, session, "/undo")
        assert files(work) == first
        assert "- a: as before" in await told(editor, session, "/undo")
        assert files(work) == before
        assert "nothing to take back" in await told(editor, session, "/undo")


async def test_undo_leaves_files_that_have_changed_since(tmp_path: Path) -> None:
    work = prepared(tmp_path)
    editor = Editor()
    turn = patch("*** Update File: a", "-one", "+1", "*** Update File: c", "-c", "+C")
    async with opened(editor, tmp_path, turn, final("Done."), arguments=["--mode", "full-access"]) as session:
        await answered(editor, session, "Go", "Done.")
        (work / "a").write_text("mine\n")
        assert await told(editor, session, "/undo") == "Nothing was taken back: changed since then: a."
        assert (work / "a").read_text() == "mine\n"
        assert (work / "c").read_text() == "C\n"
        (work / "a").write_text("1\ntwo\n")
        assert "- c: as before" in await told(editor, session, "/undo")
        assert (work / "a").read_text() == "one\ntwo\n"
    assert editor.calls()[-2]["statuses"] == ["pending", "failed"]


async def test_undo_of_what_the_user_has_taken_back_touches_nothing(tmp_path: Path) -> None:
    work = prepared(tmp_path)
    turns = patch("*** Update File: a", "-one", "+1"), final("One."), patch("*** Delete File: c"), final("Two.")
    editor = Editor()
    async with opened(editor, tmp_path, *turns, arguments=["--mode", "full-access"]) as session:
        await answered(editor, session, "Go", "One.")
        await answered(editor, session, "Go", "Two.")
        (work / "c").write_text("c\n")
        assert "nothing is left to take back" in await told(editor, session, "/undo")
        assert (work / "a").read_text() == "1\ntwo\n"
        assert "- a: as before" in await told(editor, session, "/undo")
    assert (work / "c").read_text() == "c\n"


async def test_undo_counts_what_is_not_saved_in_the_editor(tmp_path: Path) -> None:
    work = prepared(tmp_path)
    editor = Editor()
    async with opened(editor, tmp_path, patch(*KINDS["update"]), final("Done."), fs=True) as session:
        await answered(editor, session, "Go", "Done.")
        editor.buffers[str(work / "a")] = "typed\n"
        assert "changed since then: a" in await told(editor, session, "/undo")
    assert (work / "a").read_text() == "1\ntwo\n"


async def test_undo_is_an_edit_to_the_permissions(tmp_path: Path) -> None:
    work = prepared(tmp_path)
    editor = Editor("allow_once", "reject_once", "cancelled", "allow_once")
    async with opened(editor, tmp_path, patch(*KINDS["update"]), final("Done.")) as session:
        await answered(editor, session, "Go", "Done.")
        assert "the user did not allow it" in await told(editor, session, "/undo")
        assert await session.prompt("/undo") == "cancelled"
        await told(editor, session, "/mode read-only")
        assert "the mode is read-only" in await told(editor, session, "/undo")
        assert (work / "a").read_text() == "1\ntwo\n"
        await told(editor, session, "/mode ask")
        assert "- a: as before" in await told(editor, session, "/undo")
    assert (work / "a").read_text() == "one\ntwo\n"
    assert [call["status"] for call in editor.calls()] == ["completed", "failed", "failed", "failed", "completed"]


async def test_undo_while_its_permission_is_open_can_be_cancelled(tmp_path: Path) -> None:
    work = prepared(tmp_path)
    editor = Editor("allow_once", "nothing")
    async with opened(editor, tmp_path, patch(*KINDS["delete"]), final("Done.")) as session:
        await answered(editor, session, "Go", "Done.")
        undo = asyncio.create_task(session.prompt("/undo"))
        await editor.until(lambda: len(editor.permissions) == 2)
        await session.cancel()
        assert await undo == "cancelled"
        assert not (work / "a").exists()
        await answered(editor, session, "Go on", "Done.")


async def test_a_cancelled_turns_changes_can_be_undone(tmp_path: Path) -> None:
    work = prepared(tmp_path)
    editor = Editor("allow_once", "nothing", "allow_once")
    turn = patch(*KINDS["update"]), patch("*** Delete File: c")
    async with opened(editor, tmp_path, *turn, final("Done.")) as session:
        going = asyncio.create_task(session.prompt("Go"))
        await editor.until(lambda: len(editor.permissions) == 2)
        await session.cancel()
        assert await going == "cancelled"
        assert "- a: as before" in await told(editor, session, "/undo")
    assert (work / "a").read_text() == "one\ntwo\n"
