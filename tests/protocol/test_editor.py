"""What the editor is asked to do: terminals are given back whatever happens, and a wrong answer is an error."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.errors import ToolError
from gptoss_acp.protocol import editor
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.protocol.face import TurnCancelledError
from gptoss_acp.protocol.shapes import PermissionOption
from gptoss_acp.rpc import RpcError
from gptoss_acp.workspace import launcher, supervisor
from tests.support.desk import Desk
from tests.support.waiting import settled

TERMINAL = Capabilities(terminal=True)


# Answers


async def test_a_file_is_the_editors_as_it_answers(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.peer.answers["fs/read_text_file"] = lambda params: {"content": f"of {params['path']}"}
    assert await desk.face.read_text_file(tmp_path / "a") == f"of {tmp_path}/a"
    assert desk.peer.asked == [("fs/read_text_file", {"sessionId": "session", "path": f"{tmp_path}/a"})]


@pytest.mark.parametrize("answer", [None, [], "text", {}, {"content": 5}, {"content": None}])
async def test_an_answer_that_was_not_agreed_on_is_an_error(answer: object, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.peer.answers["fs/read_text_file"] = lambda _: answer
    with pytest.raises(ToolError, match="the editor's answer to fs/read_text_file has no content"):
        await desk.face.read_text_file(tmp_path / "a")


async def test_a_text_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.peer.answers["fs/read_text_file"] = lambda _: {"content": "x" * (editor.LONGEST_READ + 1)}
    with pytest.raises(ToolError, match="the editor's text is too large"):
        await desk.face.read_text_file(tmp_path / "a")


async def test_a_refusal_is_an_error_that_says_why_and_has_bounds(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    def refuse(_: Any) -> None:
        raise RpcError(-32603, "no " * 10_000)

    desk.peer.answers["fs/write_text_file"] = refuse
    with pytest.raises(ToolError, match="the editor refused fs/write_text_file: no no") as caught:
        await desk.face.write_text_file(tmp_path / "a", "x")
    assert len(str(caught.value)) < 600


async def test_an_editor_that_does_not_answer_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor, "_FILE_SECONDS", 0.05)
    desk = Desk(tmp_path)
    desk.peer.answers["fs/read_text_file"] = lambda _: asyncio.Event().wait()
    with pytest.raises(ToolError, match="the editor did not answer fs/read_text_file"):
        await desk.face.read_text_file(tmp_path / "a")


async def test_permission_is_the_option_that_was_chosen_or_the_end_of_the_turn(tmp_path: Path) -> None:
    desk = Desk(tmp_path, answer="yes")
    yes: PermissionOption = {"optionId": "yes", "name": "Yes", "kind": "allow_once"}
    assert await desk.face.ask({"toolCallId": "c"}, [yes]) == "yes"
    desk.peer.answers["session/request_permission"] = lambda _: {"outcome": {"outcome": "cancelled"}}
    with pytest.raises(TurnCancelledError):
        await desk.face.ask({"toolCallId": "c"}, [])


# Terminals


class Terminals:
    """The editor's side of a terminal whose program ends when `ended` is set."""

    def __init__(self, desk: Desk) -> None:
        self.ended = asyncio.Event()
        self.waiting = asyncio.Event()
        self.created = asyncio.Event()
        self.created.set()
        answers: dict[str, Callable[[Any], Any]] = {
            "terminal/create": self._create,
            "terminal/wait_for_exit": self._wait,
            "terminal/output": lambda _: {"output": "shown\n", "truncated": False},
            "terminal/kill": lambda _: self.ended.set(),
            "terminal/release": lambda _: None,
        }
        desk.peer.answers |= answers
        self.code: int | None = 0

    async def _create(self, _: Any) -> Any:
        self.waiting.set()
        await self.created.wait()
        return {"terminalId": "t1"}

    async def _wait(self, _: Any) -> Any:
        self.waiting.set()
        await self.ended.wait()
        return {"exitCode": self.code, "signal": None}


async def test_a_command_runs_in_the_editors_terminal_and_is_shown_there(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capabilities=TERMINAL)
    terminals = Terminals(desk)
    terminals.ended.set()
    terminals.code = 2
    assert await desk.call("shell", command=["make", "test"]) == "Exit code: 2\nOutput:\nshown\n"
    assert desk.peer.methods() == [f"terminal/{name}" for name in ("create", "wait_for_exit", "output", "release")]
    created = desk.peer.asked[0][1]
    assert (created["command"], created["cwd"]) == (sys.executable, str(tmp_path))
    assert created["args"] == ["-I", "-S", launcher.__file__, "make_test"]
    (told,) = [json.loads(one["value"]) for one in created["env"] if one["name"] == launcher.VARIABLE]
    within = supervisor.words(str(tmp_path))
    assert told == {"command": ["make", "test"], "cwd": str(tmp_path), "within": within, "passed": []}
    assert any(update.get("content") == [{"type": "terminal", "terminalId": "t1"}] for update in desk.peer.updates)
    assert desk.last["content"] == [{"type": "terminal", "terminalId": "t1"}]


async def test_a_program_that_a_signal_ended_has_no_code_of_its_own(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capabilities=TERMINAL)
    terminals = Terminals(desk)
    terminals.ended.set()
    terminals.code = None
    assert await desk.call("shell", command=["x"]) == "Exit code: 128\nOutput:\nshown\n"


async def test_a_terminal_that_takes_too_long_is_killed_read_and_given_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capabilities=TERMINAL)
    Terminals(desk)
    result = await desk.call("shell", command=["sleep", "60"], timeout=1)
    assert result.startswith("Error: timed out after 1 seconds; the command was stopped. Output so far:\nshown")
    assert desk.peer.methods()[-3:] == ["terminal/kill", "terminal/output", "terminal/release"]


async def test_cancelling_kills_the_terminal_and_gives_it_back_before_it_returns(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capabilities=TERMINAL)
    terminals = Terminals(desk)
    call = asyncio.create_task(desk.call("shell", command=["sleep", "60"]))
    await settled(lambda: "terminal/wait_for_exit" in desk.peer.methods())
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert terminals.ended.is_set()
    assert desk.peer.methods()[-3:] == ["terminal/kill", "terminal/output", "terminal/release"]
    assert desk.last["status"] == "failed"


async def test_a_terminal_that_comes_after_the_cancel_is_given_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capabilities=TERMINAL)
    terminals = Terminals(desk)
    terminals.created.clear()
    call = asyncio.create_task(desk.call("shell", command=["sleep", "60"]))
    await terminals.waiting.wait()
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    terminals.created.set()
    await settled(lambda: "terminal/release" in desk.peer.methods())
    assert desk.peer.methods()[1:] == ["terminal/kill", "terminal/output", "terminal/release"]


async def test_a_terminal_that_can_not_be_had_is_an_error_not_a_local_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capabilities=TERMINAL)
    result = await desk.call("shell", command=["touch", "a"])
    assert result == "Error: the editor refused terminal/create: Method not found."
    assert not (tmp_path / "a").exists()
