"""What happens around every tool call: unknown names, repetitions, notes, failures, and results within bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.protocol.face import TurnCancelledError
from gptoss_acp.tool_description import ToolDescription
from gptoss_acp.tools.call import Call
from gptoss_acp.tools.registry import CODING_TOOLS, Tool
from gptoss_acp.tools.runner import Runner
from gptoss_acp.workspace import window
from tests.support.desk import Desk

NAMES = ", ".join(tool.recipient for tool in CODING_TOOLS)


@pytest.mark.parametrize(
    ("tool", "instead"),
    [
        ("functions.write_file", "To change files, call repo_browser.apply_patch."),
        ("str_replace_editor", "To change files, call repo_browser.apply_patch."),
        ("repo_browser.create_file", "To change files, call repo_browser.apply_patch."),
        ("repo_browser.find_in_file", "To search files, call repo_browser.search."),
        ("container.run_script", "To run programs, call container.exec."),
        ("browser.search", f"Nothing here reaches the web. The tools are: {NAMES}."),
        ("web_search", f"Nothing here reaches the web. The tools are: {NAMES}."),
        ("multi_tool_use.parallel", f"The tools are: {NAMES}."),
    ],
)
async def test_an_unknown_tool_is_answered_with_what_to_call_instead(tool: str, instead: str, tmp_path: Path) -> None:
    result = await Desk(tmp_path).runner.announce(tool).run("{}")
    assert result == f"Error: there is no tool {tool}. {instead}"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("repo_browser.open_file", "repo_browser.open_file"),
        ("functions.read_file", "repo_browser.open_file"),
        ("functions.update_plan", "functions.update_plan"),
        ("python", "python"),
        ("web_search", None),
    ],
)
async def test_a_call_begins_with_the_name_of_its_tool(written: str, name: str | None, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.runner.announce(written)
    assert desk.last.get("name") == name


async def test_without_tools_an_unknown_one_is_answered_with_that(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    none = Runner(desk.workspace, desk.permissions, desk.runner._updates, tools=())
    result = await none.announce("functions.read_file").run("{}")
    assert result == "Error: there is no tool functions.read_file. No tools are available."


async def test_the_same_call_always_runs_and_the_third_same_result_in_a_row_is_said_to_be_that(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    once = "Exit code: 0\nOutput:\nx\n"
    noted = once + "(this call gave the same result {} times in a row; try another way)"
    call = {"command": ["sh", "-c", "echo x | tee -a log"]}
    results = [await desk.call("exec", call) for _ in range(4)]
    assert results == [once, once, noted.format(3), noted.format(4)]
    assert (tmp_path / "log").read_text() == "x\n" * 4
    counting = {"command": ["sh", "-c", "echo x >> log; wc -l < log"]}
    results = [await desk.call("exec", counting) for _ in range(4)]
    assert [result.split()[-1] for result in results] == ["5", "6", "7", "8"]


async def test_notes_come_behind_the_result(tmp_path: Path) -> None:
    async def noting(_: Any, call: Call) -> str:
        call.notes += ["(one)", "(two)"]
        return "result"

    desk = Desk(tmp_path)
    tool = Tool(ToolDescription("x", "", {"type": "object"}), noting, None, "other", "X")
    runner = Runner(desk.workspace, desk.permissions, desk.runner._updates, [tool])
    assert await runner.announce("x").run("{}") == "result\n(one)\n(two)"
    assert desk.last["rawOutput"] == {"result": "result\n(one)\n(two)"}


async def test_a_tool_that_breaks_is_a_result_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    monkeypatch.setattr(window, "of_file", lambda *_, **__: 1 / 0)
    assert await desk.call("open_file", path="a") == "Error: the tool failed: ZeroDivisionError."
    assert desk.last["status"] == "failed"


async def test_results_shrink_with_the_context(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x" * 1500 + "\n" + "y" * 1500)
    desk = Desk(tmp_path)
    desk.runner.limit_results(1200)
    assert len(await desk.call("open_file", path="a")) < 1300
    assert len(await desk.call("exec", command=["cat", "a"])) < 1300


async def test_a_cancelled_permission_request_ends_the_turn(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    desk.peer.answers["session/request_permission"] = lambda _: {"outcome": {"outcome": "cancelled"}}
    with pytest.raises(TurnCancelledError):
        await desk.call("exec", command=["touch", "a"])
    assert desk.last["status"] == "failed"
    assert not (tmp_path / "a").exists()
