"""What happens around every tool call: unknown names, repetitions, failures, and results within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptoss_acp.protocol.face import TurnCancelledError
from gptoss_acp.tools.runner import Runner
from gptoss_acp.workspace import files
from tests.support.desk import Desk


async def test_an_unknown_tool_is_answered_with_those_there_are(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    names = "read_file, list_dir, search, apply_patch, shell, update_plan"
    assert await desk.call("browse", "{}") == f"Error: there is no tool functions.browse. The tools are: {names}."
    none = Runner(desk.workspace, desk.permissions, desk.runner._updates, tools=())
    result = await none.announce("functions.read_file").run("{}")
    assert result == "Error: there is no tool functions.read_file. No tools are available."


async def test_the_same_call_for_the_third_time_in_a_row_is_not_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(2):
        assert (await desk.call("shell", '{"command": ["sh", "-c", "echo x >> log"]}')).startswith("Exit code: 0")
    third = await desk.call("shell", '{ "command": ["sh", "-c", "echo x >> log"] }')
    assert third.startswith("Error: you have called shell with the same arguments 2 times in a row")
    assert (tmp_path / "log").read_text() == "x\nx\n"
    assert await desk.call("read_file", path="log") == "L1: x\nL2: x"
    assert (await desk.call("shell", '{"command": ["sh", "-c", "echo x >> log"]}')).startswith("Exit code: 0")


async def test_a_tool_that_breaks_is_a_result_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    monkeypatch.setattr(files, "read_text", lambda _: 1 / 0)
    assert await desk.call("read_file", path="a") == "Error: the tool failed: ZeroDivisionError."
    assert desk.last["status"] == "failed"


async def test_results_shrink_with_the_context(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x" * 1500 + "\n" + "y" * 1500)
    desk = Desk(tmp_path)
    desk.runner.limit_results(1200)
    assert len(await desk.call("read_file", path="a")) < 1300
    assert len(await desk.call("shell", command=["cat", "a"])) < 1300


async def test_a_cancelled_permission_request_ends_the_turn(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    desk.peer.answers["session/request_permission"] = lambda _: {"outcome": {"outcome": "cancelled"}}
    with pytest.raises(TurnCancelledError):
        await desk.call("shell", command=["touch", "a"])
    assert desk.last["status"] == "failed"
    assert not (tmp_path / "a").exists()
