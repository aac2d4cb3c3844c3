"""A machine without the model: what the editor is told, and how the model comes here from a hub that may fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.agent_process import EXIT_SECONDS, AgentProcess
from tests.support.hub import NAME, Hub
from tests.support.spawner import Spawner
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)  # models are loaded and speak, on a machine that may have more to do

METHOD = "prepare-model"
SECONDS = 120
LARGE = "model-00001-of-00005.safetensors"
SMALL = "model-00003-of-00005.safetensors"
MB = 10**6


@pytest.fixture
def agent(spawn: Spawner, hub: Hub) -> AgentProcess:
    agent = spawn("--model", NAME, "--max-tokens", "3")
    agent.initialize()
    return agent


def authenticate(agent: AgentProcess) -> Any:
    return agent.ask("authenticate", {"methodId": METHOD})


def prompt(agent: AgentProcess) -> Any:
    """Say that the model may be downloaded, and send the first prompt to a new session."""
    assert agent.result(authenticate(agent), SECONDS) == {}
    return agent.prompt(agent.new_session(), "Hello")


def failure(agent: AgentProcess) -> str:
    """Return why the download fails."""
    answer = agent.answer(prompt(agent), SECONDS)
    assert answer["error"]["code"] == -32603, answer
    return str(answer["error"]["message"])


def refused_session(agent: AgentProcess) -> Any:
    return agent.error(agent.ask("session/new", {"cwd": str(agent.home), "mcpServers": []}))


def works(agent: AgentProcess) -> bool:
    """Whether the model is here, whole and answers."""
    return bool(agent.result(prompt(agent), SECONDS)["stopReason"] == "max_tokens")


def children(agent: AgentProcess) -> list[psutil.Process]:
    return psutil.Process(agent.process.pid).children(recursive=True)


def log(agent: AgentProcess) -> str:
    return next((agent.home / "state").rglob("gptoss-acp.log")).read_text("utf-8")


# What the editor is told


def test_without_weights_the_agent_starts_and_a_session_asks_to_download_them(
    spawn: Spawner, hugging_face: Path
) -> None:
    agent = spawn()
    methods = agent.initialize()["authMethods"]
    assert [(method["id"], method["name"]) for method in methods] == [(METHOD, "Download gpt-oss-20b (13.8 GB)")]
    error = refused_session(agent)
    assert error["code"] == -32000
    assert error["data"] == {"authMethods": methods}
    remedy = "Run `gptoss-acp setup` in a terminal, or authenticate with 'Download gpt-oss-20b (13.8 GB)'."
    assert error["message"] == f"The model openai/gpt-oss-20b is not on this machine yet. {remedy}"


@pytest.mark.parametrize(
    ("capabilities", "offered"),
    [
        ({"auth": {"terminal": True}}, True),
        ({"_meta": {"terminal-auth": True}}, True),
        ({"_meta": {"terminal-auth": "yes"}}, False),
        ({"auth": {"terminal": False}}, False),
        ({"auth": {"terminal": "yes"}}, False),
        ({"auth": [True]}, False),
        ({"terminal": True}, False),
        ({}, False),
    ],
)
def test_setup_in_a_terminal_is_offered_to_those_who_can_run_it(
    spawn: Spawner, capabilities: dict[str, Any], *, offered: bool
) -> None:
    agent = spawn("--model", "tiny")
    params = {"protocolVersion": 1, "clientCapabilities": capabilities}
    first, *rest = agent.result(agent.ask("initialize", params))["authMethods"]
    assert first["name"] == "Check tiny"
    assert [(method["type"], method["args"]) for method in rest] == [
        ("terminal", ["--model", "tiny", "setup"])
    ] * offered
    for method in rest:
        by_hand = method["_meta"]["terminal-auth"]
        assert (by_hand["command"], by_hand["args"][-3:]) == (sys.executable, ["--model", "tiny", "setup"])


@pytest.mark.parametrize(
    ("client", "model", "asked"), [("PyCharm", "tiny", 0), ("PyCharm", NAME, 1), ("Zed", "tiny", 1)]
)
def test_a_client_that_insists_on_signing_in_is_not_asked_to_where_the_model_is(
    spawn: Spawner, hugging_face: Path, client: str, model: str, asked: int
) -> None:
    agent = spawn("--model", model)
    params = {"protocolVersion": 1, "clientInfo": {"name": client, "version": "1"}}
    assert len(agent.result(agent.ask("initialize", params))["authMethods"]) == asked
    assert not hugging_face.exists()


def test_a_terminal_method_cannot_be_asked_for(spawn: Spawner) -> None:
    agent = spawn("--model", "tiny")
    agent.initialize()
    assert agent.error(agent.ask("authenticate", {"methodId": "setup"}))["code"] == -32602


def test_a_model_that_no_hub_has_is_not_offered_for_download(spawn: Spawner, tmp_path: Path) -> None:
    agent = spawn("--model", str(tmp_path / "no-such-folder"))
    assert agent.initialize()["authMethods"] == []
    error = refused_session(agent)
    assert error["code"] == -32603
    assert "Authenticate" not in error["message"]
    answer = agent.answer(authenticate(agent), SECONDS)
    assert answer["error"]["code"] == -32603
    assert "Name a folder" in answer["error"]["message"]


def test_a_typing_error_is_no_reason_to_sign_in(spawn: Spawner) -> None:
    agent = spawn("--model", "tinny")
    agent.initialize()
    error = refused_session(agent)
    assert error["code"] == -32603
    assert error["message"].startswith("There is no model tinny. Is tiny meant? Name a folder by a path")


# Downloading


def test_authenticate_downloads_the_model_and_then_it_answers(agent: AgentProcess, hub: Hub) -> None:
    assert refused_session(agent)["code"] == -32000
    assert works(agent)
    assert hub.weights_sent() == hub.weights_size
    assert f"downloading {NAME}: 0.05 of 0.05 GB" in log(agent)
    assert children(agent) == []


def test_a_model_that_is_here_needs_no_hub(agent: AgentProcess, hub: Hub, spawn: Spawner) -> None:
    assert works(agent)
    hub.broken = True
    hub.sent.clear()
    other = spawn("--model", NAME, "--max-tokens", "3")
    other.initialize()
    assert works(other)
    assert hub.sent == []


def test_a_cut_connection_is_taken_up_again_where_it_was_cut(agent: AgentProcess, hub: Hub) -> None:
    hub.cut_at = 25 * MB
    assert works(agent)
    assert [start > 0 for name, start, _ in hub.sent if name == LARGE] == [False, True]


def test_a_download_that_failed_goes_on_when_it_is_tried_again(agent: AgentProcess, hub: Hub) -> None:
    hub.cut_at, hub.hold_at = 25 * MB, 25 * MB
    request = prompt(agent)
    assert hub.holding.wait(SECONDS)
    hub.broken = True
    hub.go_on.set()
    error = agent.answer(request, SECONDS)["error"]
    assert error["code"] == -32603
    assert "503" in error["message"]
    assert "try again to go on" in error["message"]
    hub.broken, hub.hold_at = False, None
    assert works(agent)
    first, second = ((start, count) for name, start, count in hub.sent if name == LARGE)
    assert second[0] >= 20 * MB
    assert second[1] < first[1] + 20 * MB


def test_a_download_is_shown_cancelled_at_once_and_goes_on_later(agent: AgentProcess, hub: Hub) -> None:
    hub.hold_at = 25 * MB
    assert agent.result(authenticate(agent), SECONDS) == {}
    session = agent.new_session()
    request = agent.prompt(session, "Hello")
    assert hub.holding.wait(SECONDS)
    assert children(agent)
    agent.read_until(lambda: len(agent.updates(session, "tool_call_update")) > 1, SECONDS)
    (shown,) = (update.message["params"]["update"] for update in agent.updates(session, "tool_call"))
    assert (shown["title"], shown["status"]) == ("Downloading gpt-oss-small", "in_progress")
    cancelled = time.monotonic()
    agent.cancel(session)
    assert agent.result(request, SECONDS)["stopReason"] == "cancelled"
    assert time.monotonic() - cancelled < 5
    wait_until(lambda: not children(agent))
    hub.hold_at = None
    hub.go_on.set()
    assert works(agent)
    assert [start > 0 for name, start, _ in hub.sent if name == LARGE] == [False, True]


def test_the_yes_is_kept_and_holds_for_that_model(agent: AgentProcess, hub: Hub, spawn: Spawner) -> None:
    hub.hold_at = 1
    assert agent.result(authenticate(agent), SECONDS) == {}
    hub.hold_at = None
    hub.go_on.set()
    config = agent.home / "config/gptoss-acp/config.toml"
    assert config.read_text() == f'download = "{NAME}"\n'
    agent.end()
    again = spawn("--model", NAME, "--max-tokens", "3", home=agent.home)
    again.initialize()
    session = again.new_session()
    assert again.result(again.prompt(session, "Hello"), SECONDS)["stopReason"] == "max_tokens"
    other = spawn("--model", "someone/else", home=agent.home)
    other.initialize()
    assert refused_session(other)["code"] == -32000


@pytest.mark.parametrize("kill", [False, True], ids=["closed", "killed"])
def test_no_download_outlives_the_agent(spawn: Spawner, hub: Hub, *, kill: bool) -> None:
    agent = spawn("--model", NAME, ends_well=False)
    agent.initialize()
    hub.hold_at = 25 * MB
    authenticate(agent)
    assert hub.holding.wait(SECONDS)
    (child,) = children(agent)
    if kill:
        agent.process.kill()
    else:
        assert agent.to_agent is not None
        agent.to_agent.close()
        assert agent.process.wait(EXIT_SECONDS) == 0
    child.wait(10)


def test_two_who_ask_at_once_share_one_download(agent: AgentProcess, hub: Hub) -> None:
    first, second = prompt(agent), prompt(agent)
    for request in (first, second):
        assert agent.result(request, SECONDS)["stopReason"] == "max_tokens"
    assert hub.weights_sent() == hub.weights_size


def test_two_programs_that_download_at_once_both_succeed(agent: AgentProcess, hub: Hub, spawn: Spawner) -> None:
    other = spawn("--model", NAME, "--max-tokens", "3")
    other.initialize()
    hub.hold_at = 25 * MB
    first = prompt(agent)
    assert hub.holding.wait(SECONDS)
    second = prompt(other)
    hub.hold_at = None
    hub.go_on.set()
    assert agent.result(first, SECONDS)["stopReason"] == other.result(second, SECONDS)["stopReason"] == "max_tokens"
    assert hub.weights_sent() == hub.weights_size


# What can be wrong


@pytest.mark.parametrize(
    "lie",
    [lambda content: content[:-1], lambda content: content + b"!", lambda content: content[:-1] + b"!"],
    ids=["short", "long", "other"],
)
def test_weights_that_arrive_damaged_are_thrown_away_and_downloaded_again(
    agent: AgentProcess, hub: Hub, lie: Callable[[bytes], bytes]
) -> None:
    hub.lies[SMALL] = lie((hub.folder / SMALL).read_bytes())
    message = failure(agent)
    assert SMALL in message
    assert "thrown away" in message
    hub.lies.clear()
    assert works(agent)


@pytest.mark.parametrize("damage", [lambda size: size - 1, lambda size: 0], ids=["cut", "empty"])
def test_weights_damaged_on_this_machine_are_named_and_only_they_are_downloaded_again(
    agent: AgentProcess, hub: Hub, hugging_face: Path, spawn: Spawner, damage: Callable[[int], int]
) -> None:
    assert works(agent)
    blob = next(hugging_face.rglob(SMALL)).resolve()
    os.truncate(blob, damage(blob.stat().st_size))
    hub.sent.clear()
    other = spawn("--model", NAME, "--max-tokens", "3")
    other.initialize()
    error = refused_session(other)
    assert error["code"] == -32000
    assert f"only in part: {SMALL} is damaged" in error["message"]
    assert works(other)
    assert [name for name, _, _ in hub.sent if name.endswith(".safetensors")] == [SMALL]


def test_a_damaged_index_on_this_machine_is_downloaded_again(
    agent: AgentProcess, hub: Hub, hugging_face: Path, spawn: Spawner
) -> None:
    assert works(agent)
    os.truncate(next(hugging_face.rglob("*.index.json")).resolve(), 10)
    other = spawn("--model", NAME, "--max-tokens", "3")
    other.initialize()
    assert "is damaged" in refused_session(other)["message"]
    assert works(other)


def test_a_repository_without_all_its_weights_is_named(agent: AgentProcess, hub: Hub) -> None:
    hub.hidden.add(SMALL)
    message = failure(agent)
    assert f"{SMALL} is missing" in message
    assert "--model" in message


def test_another_kind_of_model_is_refused_before_its_weights_are_downloaded(agent: AgentProcess, hub: Hub) -> None:
    hub.lies["config.json"] = json.dumps({"model_type": "llama"}).encode()
    assert "it is a llama model" in failure(agent)
    assert hub.weights_sent() == 0


@pytest.mark.parametrize("config", [b"[]", b"{", b"[" * 100_000], ids=["no object", "cut", "deep"])
def test_a_repository_whose_config_is_damaged_is_refused(agent: AgentProcess, hub: Hub, config: bytes) -> None:
    hub.lies["config.json"] = config
    assert "config.json is damaged. Choose another" in failure(agent)
    assert hub.weights_sent() == 0


def test_a_repository_that_is_no_model_is_refused(agent: AgentProcess, hub: Hub) -> None:
    hub.hidden.add("config.json")
    assert "config.json" in failure(agent)


def test_an_unknown_repository_is_named(spawn: Spawner, hub: Hub) -> None:
    agent = spawn("--model", "someone/else")
    agent.initialize()
    message = failure(agent)
    assert "There is no model someone/else on http://127.0.0.1" in message
    assert "--model" in message


def test_without_a_network_it_says_so(spawn: Spawner, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    agent = spawn("--model", NAME)
    agent.initialize()
    message = failure(agent)
    assert "http://127.0.0.1:9 can't be reached" in message
    assert "online?" in message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 30 MB, too small for the model."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_without_room_is_named_before_anything_is_downloaded(
    spawn: Spawner, hub: Hub, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(small_disk))
    agent = spawn("--model", NAME)
    agent.initialize()
    message = failure(agent)
    assert "0.05 GB are still to come, but 0.03 GB are free" in message
    assert str(small_disk) in message
    assert "HF_HOME" in message
    assert hub.weights_sent() == 0


def test_a_disk_that_fills_up_is_named_and_the_download_goes_on_once_there_is_room(
    spawn: Spawner, hub: Hub, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["mount", "-o", "remount,size=70m", str(small_disk)], check=True)
    monkeypatch.setenv("HF_HOME", str(small_disk))
    agent = spawn("--model", NAME, "--max-tokens", "3")
    agent.initialize()
    hub.hold_at = 25 * MB
    request = prompt(agent)
    assert hub.holding.wait(SECONDS)
    other = small_disk / "other"
    other.write_bytes(bytes(30 * MB))
    hub.hold_at = None
    hub.go_on.set()
    error = agent.answer(request, SECONDS)["error"]
    assert "The disk is full" in error["message"]
    assert "Make room" in error["message"]
    other.unlink()
    assert works(agent)
    assert [start > 0 for name, start, _ in hub.sent if name == LARGE] == [False, True]
