"""One tool call as the editor and its user see it: what is shown, when, and what is asked before anything is done."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.text import LONGEST_RESULT
from gptoss_acp.tools.call import STREAM_SECONDS
from tests.support.desk import Desk
from tests.support.waiting import settled


async def test_a_call_is_shown_from_its_announcement_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x\n")
    desk = Desk(tmp_path)
    call = desk.runner.announce("functions.read_file")
    (pending,) = desk.peer.updates
    assert {name: pending[name] for name in ("title", "kind", "status")} == {
        "title": "Read a file",
        "kind": "read",
        "status": "pending",
    }
    await call.run('{"path": "a", "line_start": 1}')
    fields: dict[str, Any] = {}
    for update in desk.peer.updates[1:]:
        assert update["toolCallId"] == pending["toolCallId"]
        fields |= update
    assert fields["rawInput"] == {"path": "a", "line_start": 1}
    assert fields["title"] == "Read a"
    assert fields["locations"] == [{"path": str(tmp_path / "a"), "line": 1}]
    assert fields["content"] == [{"type": "content", "content": {"type": "text", "text": "L1: x"}}]
    assert fields["rawOutput"] == {"result": "L1: x"}
    assert [update["status"] for update in desk.peer.updates if "status" in update] == [
        "pending",
        "in_progress",
        "completed",
    ]
    call.abandon()
    assert desk.last["status"] == "completed"


# Output


async def test_output_without_end_keeps_head_and_tail_and_memory(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result = await desk.call("shell", command=["sh", "-c", "echo first; seq 1 1000000; echo last"])
    assert len(result) < LONGEST_RESULT + 100
    assert result.startswith("Exit code: 0\nOutput:\nfirst\n1\n")
    assert result.endswith("1000000\nlast\n")
    assert "characters left out" in result


async def test_output_is_shown_while_the_command_runs_but_not_too_often(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    started = time.monotonic()
    call = asyncio.create_task(
        desk.call(
            "shell", command=["bash", "-c", "echo begun; for i in {1..300}; do echo $i; sleep 0.005; done; sleep 0.2"]
        )
    )
    await settled(lambda: any("begun" in str(update.get("content")) for update in desk.peer.updates))
    assert not call.done()
    await call
    shown = [update for update in desk.peer.updates if "content" in update]
    most = (time.monotonic() - started) / STREAM_SECONDS
    assert 3 < len(shown) < most + 5
    assert "300" in shown[-1]["content"][0]["content"]["text"]


# What the user decides on


async def test_the_user_sees_the_diff_before_the_question(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask", answer="reject-once")
    result = await desk.patch("*** Add File: a", "+x")
    assert result == "Error: the user did not allow it."
    assert not (tmp_path / "a").exists()
    (asked,) = desk.permissions_asked
    assert asked["toolCall"]["content"] == [
        {"type": "diff", "path": str(tmp_path / "a"), "oldText": None, "newText": "x\n"}
    ]
    assert [option["kind"] for option in asked["options"]] == ["allow_once", "allow_always", "reject_once"]
    assert [update["status"] for update in desk.peer.updates if "status" in update] == ["pending", "failed"]


async def test_the_user_sees_a_long_command_in_full(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    await desk.call("shell", command=["echo", "x" * 300, "; rm -rf ~"], workdir="/")
    (asked,) = desk.permissions_asked
    assert "rm -rf" in asked["toolCall"]["content"][0]["content"]["text"]
    assert asked["toolCall"]["rawInput"]["command"][-1] == "; rm -rf ~"


async def test_a_command_that_can_not_be_shown_in_full_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    assert "the command is too long" in await desk.call("shell", command=["echo", "'" * 4000])
    assert desk.permissions_asked == []


async def test_once_asks_again_and_always_does_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask", answer="allow-once")
    await desk.call("shell", command=["echo", "hi", "1"])
    await desk.call("shell", command=["echo", "hi", "2"])
    assert len(desk.permissions_asked) == 2
    desk.answer = "allow-always"
    await desk.call("shell", command=["echo", "hi", "3"])
    assert await desk.call("shell", command=["echo", "hi", "4"]) == "Exit code: 0\nOutput:\nhi 4\n"
    assert len(desk.permissions_asked) == 3


@pytest.mark.parametrize(
    "outcome", [{}, {"outcome": "selected"}, {"outcome": "selected", "optionId": "yes"}, "x", None]
)
async def test_an_answer_that_allows_nothing_refuses(outcome: object, tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    desk.peer.answers["session/request_permission"] = lambda _: {"outcome": outcome}
    assert (await desk.call("shell", command=["touch", "a"])).startswith("Error: ")
    assert not (tmp_path / "a").exists()


async def test_a_client_that_can_not_ask_allows_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    del desk.peer.answers["session/request_permission"]
    result = await desk.call("shell", command=["touch", "a"])
    assert result == "Error: the editor refused session/request_permission: Method not found."
    assert not (tmp_path / "a").exists()


async def test_a_mode_that_refuses_asks_nobody(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "read-only", answer="allow-once")
    assert await desk.patch("*** Add File: a", "+x") == "Error: the mode is read-only: no file may be changed."
    assert await desk.call("shell", command=["touch", "a"]) == "Error: the mode is read-only: no command may be run."
    assert desk.permissions_asked == []
    assert list(tmp_path.iterdir()) == []


async def test_however_much_is_asked_it_fits_into_a_line(tmp_path: Path) -> None:
    odd = "\x01\u20ac" * 30_000
    desk = Desk(tmp_path, "ask", answer="allow-once")
    assert "too long" in await desk.call("shell", command=["printf", "%s", odd])
    assert (await desk.call("shell", command=["true", "\x01" * 1900])).startswith("Exit code: 0")
    assert "Success" in await desk.patch(*[f"*** Add File: {number}\n+{odd}" for number in range(40)])
    (tmp_path / "0").write_text("\x01\n" * 30_000 + "x\n")
    assert "Success" in await desk.patch("*** Update File: 0", "-x", "+y")
    await desk.call("read_file", path="/" + "\x01" * 200)
    assert len(desk.permissions_asked) == 4
