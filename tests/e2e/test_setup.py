"""`gptoss-acp setup`, run as a user would, in a terminal or without one."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent_process import AgentProcess, private_environment
from tests.support.hub import NAME, Hub
from tests.support.places import REPOSITORY
from tests.support.spawner import Spawner

pytestmark = pytest.mark.timeout(300)  # models are loaded and speak, on a machine that may have more to do

SECONDS = 120
PROGRAM = (sys.executable, "-m", "gptoss_acp")
MB = 10**6


def environment(home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    return {**private_environment(home), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}


def set_up(home: Path, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end, with `answer` on its input."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(home),
        input=answer,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def editor_settings(output: str) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(output[output.index("{") :])
    return settings


def test_setup_downloads_checks_and_tries_the_model_and_the_agent_then_has_it(
    hub: Hub, tmp_path: Path, spawn: Spawner
) -> None:
    ended = set_up(tmp_path / "home", "--model", NAME, "setup", "--yes", "--force")
    assert ended.returncode == 0, ended
    assert "GB of memory" in ended.stdout
    assert "the processor" in ended.stdout
    assert "openai/gpt-oss-20b" in ended.stdout
    assert "all here and whole" in ended.stdout
    assert "tokens/s" in ended.stdout
    server = editor_settings(ended.stdout)["agent_servers"]["gpt-oss"]
    assert hub.weights_sent() == hub.weights_size

    hub.broken = True
    agent: AgentProcess = spawn(
        command=(server["command"], *server["args"], "--max-tokens", "3"), home=tmp_path / "home"
    )
    session = agent.open()
    assert agent.result(agent.prompt(session, "Hello"), SECONDS)["stopReason"] == "max_tokens"


def test_setup_asks_which_model_and_takes_an_empty_answer_for_the_recommended_one(tmp_path: Path) -> None:
    ended = set_up(tmp_path / "home", "--model", "tiny", "setup", answer="\n")
    assert ended.returncode == 0, ended
    assert "Which one" in ended.stdout
    assert re.search(r"It is loaded, for contexts of [0-9,]{5,} tokens", ended.stdout)
    assert "> Say hello in one short sentence." in ended.stdout
    assert "--model" not in editor_settings(ended.stdout)["agent_servers"]["gpt-oss"]["args"]
    assert (tmp_path / "home/config/gptoss-acp/config.toml").read_text() == 'model = "tiny"\n'


def test_setup_downloads_nothing_unasked_that_is_not_sure_to_fit(hub: Hub, tmp_path: Path) -> None:
    ended = set_up(tmp_path / "home", "setup", "--model", NAME, "--yes")
    assert ended.returncode == 1
    assert f"{NAME} is not sure to fit on this machine. --force downloads it all the same." in ended.stdout
    refused = set_up(tmp_path / "home", "--model", NAME, "setup", answer="1\nn\n")
    assert refused.returncode == 130
    left = set_up(tmp_path / "home", "setup", answer="nonsense\n99\nq\n")
    assert left.returncode == 130
    assert "nonsense is neither one of them nor a repository" in left.stdout
    named = set_up(tmp_path / "home", "setup", answer=f"{NAME}\n\n")
    assert f"{NAME} is not sure to fit" in named.stdout
    assert named.returncode == 130
    assert hub.weights_sent() == 0


@pytest.mark.parametrize(
    ("model", "problem"), [("gpt-oss-20b", "Is openai/gpt-oss-20b meant?"), ("./[/b]", "There is no folder ./[/b].")]
)
def test_what_can_not_be_had_is_not_said_to_be_too_large(model: str, problem: str, tmp_path: Path) -> None:
    ended = set_up(tmp_path / "home", "setup", "--yes", "--model", model)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert problem in ended.stdout
    assert "--force" not in ended.stdout


def test_setup_without_anybody_to_ask_says_so(tmp_path: Path) -> None:
    ended = set_up(tmp_path / "home", "--model", "tiny", "setup")
    assert ended.returncode == 1
    assert "--yes" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_setup_without_a_network_says_so(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    ended = set_up(tmp_path / "home", "--model", NAME, "setup", "--yes", "--force")
    assert ended.returncode == 1
    assert "http://127.0.0.1:9 can't be reached" in ended.stdout
    assert "Is this machine online?" in ended.stdout
    assert ended.stderr == ""
    assert "agent_servers" not in ended.stdout


def test_setup_is_interrupted_and_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.hold_at = 25 * MB
    arguments = [*PROGRAM, "--model", NAME, "setup", "--yes", "--force"]
    terminal, inside = pty.openpty()
    running = subprocess.Popen(
        arguments,
        env=environment(tmp_path / "home"),
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        # A program that a shell starts in the background inherits that this signal is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    os.close(inside)
    shown: list[bytes] = []
    reading = threading.Thread(target=read_all, args=(terminal, shown))
    reading.start()
    assert hub.holding.wait(SECONDS)
    running.send_signal(signal.SIGINT)
    assert running.wait(SECONDS) == 130
    reading.join(SECONDS)
    text = b"".join(shown).decode(errors="replace")
    assert "Downloading" in text
    assert "run setup again" in text
    assert "Traceback" not in text
    hub.hold_at = None
    hub.go_on.set()
    assert set_up(tmp_path / "home", *arguments[3:]).returncode == 0
    assert [start > 0 for name, start, _ in hub.sent if name.startswith("model-00001")] == [False, True]


def read_all(terminal: int, into: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(terminal, 65536):
            into.append(piece)
    os.close(terminal)
