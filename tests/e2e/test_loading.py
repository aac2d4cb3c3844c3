"""Waiting for a model that loads slowly: a real load, held where it begins."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent_process import AgentProcess
from tests.support.spawner import Spawner
from tests.support.waiting import settled

pytestmark = pytest.mark.timeout(300)  # models are loaded and speak, on a machine that may have more to do

HELD = """
import sys, time
from pathlib import Path
from gptoss_acp.engine import weights
from gptoss_acp.engine.residency import NOTHING_READ

folder = Path(sys.argv.pop(1))
load = weights.load

def held(checkpoint, between, ranks):
    with (folder / "loads").open("a") as loads:
        loads.write("x")
    while not (folder / "go on").exists():
        between(NOTHING_READ)
        time.sleep(0.01)
    return load(checkpoint, between, ranks)

weights.load = held
from gptoss_acp.cli.main import main
main()
"""
"""The program, whose loads stand still where they begin until a file is there."""

SECONDS = 120


@dataclass
class SlowCheckpoint:
    """A checkpoint whose load stands still unless `go_on`."""

    folder: Path
    control: Path

    @property
    def command(self) -> Sequence[str]:
        return (sys.executable, "-c", HELD, str(self.control))

    @property
    def loads(self) -> int:
        """How often it was begun to be read."""
        return len((self.control / "loads").read_text())

    def go_on(self) -> None:
        (self.control / "go on").touch()

    def hold(self) -> None:
        (self.control / "go on").unlink()


@pytest.fixture
def slow(checkpoint: Path, tmp_path: Path) -> Iterator[SlowCheckpoint]:
    slow = SlowCheckpoint(tmp_path / "gpt-oss-small", tmp_path / "control")
    slow.control.mkdir()
    shutil.copytree(checkpoint, slow.folder)
    yield slow
    slow.go_on()


@pytest.fixture
def agent(spawn: Spawner, slow: SlowCheckpoint) -> AgentProcess:
    agent = spawn("--model", str(slow.folder), "--max-tokens", "3", "--disk-gb", "0", command=slow.command)
    agent.initialize()
    return agent


def shown(agent: AgentProcess, session: str) -> list[dict[str, Any]]:
    """Return every tool call of a session and its updates, in order."""
    kinds = ("tool_call", "tool_call_update")
    return [
        received.message["params"]["update"]
        for received in agent.received
        if received.message.get("method") == "session/update"
        and received.message["params"]["sessionId"] == session
        and received.message["params"]["update"]["sessionUpdate"] in kinds
    ]


def text(update: dict[str, Any]) -> str:
    return str(update["content"][0]["content"]["text"])


def test_a_prompt_that_waits_for_the_model_shows_so_until_it_is_loaded(
    agent: AgentProcess, slow: SlowCheckpoint
) -> None:
    session = agent.new_session()
    prompt = agent.prompt(session, "Hello")
    agent.read_until(lambda: len(shown(agent, session)) >= 3, SECONDS)
    slow.go_on()
    assert agent.result(prompt, SECONDS)["stopReason"] == "max_tokens"
    first, *progress, last = shown(agent, session)
    assert (first["title"], first["kind"], first["status"]) == ("Loading gpt-oss-small", "other", "in_progress")
    assert {update["toolCallId"] for update in progress} == {first["toolCallId"]} == {last["toolCallId"]}
    assert all("status" not in update and text(update) for update in progress)
    assert "Getting ready" in text(progress[0])
    assert last["status"] == "completed"
    assert text(last).startswith("Loaded in")


def test_authenticating_does_not_wait_for_the_load(agent: AgentProcess, slow: SlowCheckpoint) -> None:
    assert agent.result(agent.ask("authenticate", {"methodId": "prepare-model"}), SECONDS) == {}
    assert not (slow.control / "loads").exists()


def test_nothing_is_shown_once_the_model_is_loaded_nor_of_the_loading_later(
    agent: AgentProcess, slow: SlowCheckpoint
) -> None:
    session = agent.new_session()
    prompt = agent.prompt(session, "Hello")
    agent.read_until(lambda: bool(shown(agent, session)), SECONDS)
    slow.go_on()
    assert agent.result(prompt, SECONDS)["stopReason"] == "max_tokens"
    before = len(shown(agent, session))
    assert agent.result(agent.prompt(session, "Hello"), SECONDS)["stopReason"] == "max_tokens"
    agent.result(agent.ask("session/close", {"sessionId": session}))
    agent.result(agent.ask("session/load", {"sessionId": session, "cwd": str(agent.home), "mcpServers": []}))
    assert len(shown(agent, session)) == before


def test_cancel_ends_the_waiting_and_the_next_prompt_waits_for_the_same_load(
    agent: AgentProcess, slow: SlowCheckpoint
) -> None:
    session = agent.new_session()
    prompt = agent.prompt(session, "Hello")
    agent.read_until(lambda: bool(shown(agent, session)), SECONDS)
    agent.cancel(session)
    assert agent.result(prompt)["stopReason"] == "cancelled"
    assert [update["status"] for update in shown(agent, session) if "status" in update] == ["in_progress", "failed"]
    again = agent.prompt(session, "Hello")
    slow.go_on()
    assert agent.result(again, SECONDS)["stopReason"] == "max_tokens"
    loads = slow.loads
    assert agent.result(agent.prompt(session, "Hello"), SECONDS)["stopReason"] == "max_tokens"
    assert slow.loads == loads


def test_a_load_that_fails_says_why_and_the_next_prompt_loads_again(agent: AgentProcess, slow: SlowCheckpoint) -> None:
    session = agent.new_session()
    prompt = agent.prompt(session, "Hello")
    agent.read_until(lambda: bool(shown(agent, session)), SECONDS)
    shard = slow.folder / "model-00002-of-00005.safetensors"
    away = shard.rename(slow.folder / "away")
    slow.go_on()
    error = agent.answer(prompt, SECONDS)["error"]
    assert error["code"] == -32603
    last = shown(agent, session)[-1]
    assert last["status"] == "failed"
    assert text(last) == error["message"]
    away.rename(shard)
    assert agent.result(agent.prompt(session, "Hello"), SECONDS)["stopReason"] == "max_tokens"


async def test_an_idle_model_that_was_unloaded_shows_that_it_loads_again(spawn: Spawner, slow: SlowCheckpoint) -> None:
    slow.go_on()
    agent = spawn(
        "--model",
        str(slow.folder),
        "--max-tokens",
        "3",
        "--disk-gb",
        "0",
        "--idle-minutes",
        "0.02",
        command=slow.command,
    )
    session = agent.open()
    assert agent.result(agent.prompt(session, "Hello"), SECONDS)["stopReason"] == "max_tokens"
    before = len(shown(agent, session))
    slow.hold()
    log = next((agent.home / "state").rglob("gptoss-acp.log"))
    await settled(lambda: "unloading the idle model" in log.read_text("utf-8"), SECONDS)
    prompt = agent.prompt(session, "Hello")
    agent.read_until(lambda: len(shown(agent, session)) > before, SECONDS)
    slow.go_on()
    assert agent.result(prompt, SECONDS)["stopReason"] == "max_tokens"
    assert shown(agent, session)[-1]["status"] == "completed"
