"""The connection to an MCP server: a real one over each transport, and ones that hang, take too long and will not end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from gptoss_acp.text import LONGEST_RESULT
from tests.support.mcp_desk import PATIENT, listening, names, program, ready, running, shell
from tests.support.waiting import all_has_run, settled


async def test_a_server_on_pipes_has_its_tools_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTOSS_ACP_SEED", "1")
    async with ready(tmp_path, program(tmp_path)) as desk:
        assert names(desk.servers) == [
            f"test__{name}"
            for name in (
                "add",
                "throw",
                "strange_n_me",
                "fail",
                "mixed",
                "long",
                "wait",
                "book",
                "sign_in",
                "pay",
                "die",
                "show_environment",
                "write",
                "show_modes",
            )
        ]
        assert desk.servers.take_problems() == []
        assert await desk.call("test__add", a=1, b=2) == "3"
        assert desk.last["status"] == "completed"
        assert desk.last["rawOutput"] == {"result": "3"}
        assert await desk.call("test__strange_n_me") == "strange"
        # It gets the user's environment and its own, not ours, and works in the session's folder.
        assert await desk.call("test__show_environment", name="MCP_TEST_KEY") == f"secret None {tmp_path}"
        assert (await desk.call("test__show_environment", name="HOME")).startswith(os.environ["HOME"])
        assert (await desk.call("test__show_environment", name="GPTOSS_ACP_SEED")).startswith("None ")
        assert running(tmp_path)
    assert not running(tmp_path)


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_a_server_on_the_network_has_its_tools_called(kind: str, tmp_path: Path) -> None:
    with listening(tmp_path, kind) as (server, process):
        async with ready(tmp_path, server) as desk:
            assert await desk.call("test__add", a=1, b=2) == "3"
            assert await desk.call("test__show_environment", name="x") == f"None secret {Path.cwd()}"
            waiting = asyncio.create_task(desk.call("test__wait"))
            await settled((tmp_path / "waiting").exists, PATIENT)
            process.kill()
            gone = "the connection to the MCP server test is lost; do without it, and tell the user."
            assert await waiting == f"Error: {gone}"
            assert await desk.call("test__add", a=1, b=2) == f"Error: {gone}"


async def test_what_is_no_text_is_described(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        assert (await desk.call("test__mixed")).splitlines() == [
            "some text",
            "[image, image/png, 9 bytes; it can't be shown here]",
            "note://1",
            "a note",
            "[blob://1, image/png, 9 bytes; it can't be shown here]",
            "[a link](file:///a) to a file",
        ]
        result = await desk.call("test__long", count=10**6)
        assert len(result) <= LONGEST_RESULT + 100
        assert "characters left out" in result


async def test_what_a_tool_can_not_do_is_an_error_that_says_why(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        failed = await desk.call("test__fail")
        assert failed.startswith("Error: ")
        assert "nothing works today" in failed
        assert desk.last["status"] == "failed"
        assert (await desk.call("test__add", a="x")).startswith("Error: ")
        assert "test__add" in await desk.call("test__subtract")
        assert await desk.call("test__add", "no json") != "3"
        assert not (tmp_path / "added").exists()


# Calls and servers that do not end


async def test_a_call_is_cancelled_at_the_server_too(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        calling = asyncio.create_task(desk.call("test__wait"))
        await settled((tmp_path / "waiting").exists, PATIENT)
        calling.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert time.monotonic() - began < 10  # far less, but for a busy machine
        assert desk.last["status"] == "failed"
        await settled((tmp_path / "cancelled").exists, PATIENT)
        assert await desk.call("test__add", a=1, b=2) == "3"


async def test_a_call_to_a_server_that_reads_nothing_can_be_cancelled(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGSTOP)
        calls = [asyncio.create_task(desk.call("test__throw", what="x" * 500_000 + str(number))) for number in range(3)]
        await settled(lambda: [update.get("status") for update in desk.peer.updates].count("in_progress") == 3)
        await all_has_run()
        began = time.monotonic()
        for calling in calls:
            calling.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*calls, return_exceptions=True)
        )
        assert time.monotonic() - began < 10  # far less, but for a busy machine
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)


async def test_a_call_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ready(tmp_path, program(tmp_path)) as desk:
        monkeypatch.setattr("gptoss_acp.tools.mcp.connection.CALL_SECONDS", 0.5)
        assert await desk.call("test__wait") == "Error: the MCP server did not answer within 0.5 seconds."


async def test_one_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptoss_acp.tools.mcp.servers.LONGEST_START_SECONDS", 1.0)
    hanging = shell(f"echo $$ > {tmp_path}/pid; while :; do sleep 1; done")
    async with ready(tmp_path, hanging) as desk:
        assert names(desk.servers) == []
        (problem,) = desk.servers.take_problems()
        assert "it did not answer within 1 seconds" in problem
        assert not running(tmp_path)


async def test_a_server_that_will_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    async with ready(tmp_path, program(tmp_path, "stubborn")) as desk:
        assert await desk.call("test__add", a=1, b=2) == "3"
        assert running(tmp_path)
        assert running(tmp_path, "child")
    await settled(lambda: not running(tmp_path) and not running(tmp_path, "child"), PATIENT)
