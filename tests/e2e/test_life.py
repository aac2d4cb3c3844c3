"""How the process ends: soon, with code 0, and leaving nothing behind, whatever the editor does."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.agent_process import EXIT_SECONDS, AgentProcess, private_environment, prompt_params, request
from tests.support.conformance import Message
from tests.support.spawner import Spawner
from tests.support.tokens import final, numbers

ENDLESS = final(numbers(5000))

Ending = Callable[[AgentProcess], None]


def close_stdin(agent: AgentProcess) -> None:
    assert agent.to_agent is not None
    agent.to_agent.close()


def terminate(agent: AgentProcess) -> None:
    agent.process.terminate()


def interrupt(agent: AgentProcess) -> None:
    agent.process.send_signal(signal.SIGINT)


def hang_up(agent: AgentProcess) -> None:
    agent.process.send_signal(signal.SIGHUP)


def close_stdin_then_terminate(agent: AgentProcess) -> None:
    close_stdin(agent)
    time.sleep(0.1)  # so that the signal comes while it ends
    terminate(agent)


def signal_at_once_with_everything(agent: AgentProcess) -> None:
    interrupt(agent)
    terminate(agent)


ENDINGS = [close_stdin, terminate, interrupt, hang_up, close_stdin_then_terminate, signal_at_once_with_everything]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_idle_agent_ends_at_once(spawn: Spawner, ending: Ending) -> None:
    agent = spawn.scripted(ENDLESS)
    agent.initialize()
    ending(agent)
    assert agent.exit_code() == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_agent_in_mid_generation_ends_at_once_and_answers_what_it_owes(spawn: Spawner, ending: Ending) -> None:
    agent = spawn.scripted(ENDLESS, delay=0.01)
    session = agent.open()
    prompt = agent.prompt(session, "Go")
    agent.read_until(lambda: len(agent.chunks(session)) >= 5)
    ending(agent)
    assert agent.exit_code() == 0
    assert agent.result(prompt)["stopReason"] == "cancelled"


def test_an_idle_agent_whose_output_is_closed_ends_at_once(spawn: Spawner) -> None:
    agent = spawn.scripted(ENDLESS, reading=False)
    assert "result" in exchange(agent, "initialize", {"protocolVersion": 1})
    close_stdout(agent)
    assert agent.process.wait(EXIT_SECONDS) == 0


def test_an_agent_in_mid_generation_whose_output_is_closed_ends_at_once(spawn: Spawner) -> None:
    agent = spawn.scripted(ENDLESS, delay=0.01, reading=False)
    exchange(agent, "initialize", {"protocolVersion": 1})
    session = exchange(agent, "session/new", {"cwd": "/", "mcpServers": []})["result"]["sessionId"]
    assert exchange(agent, "session/prompt", prompt_params(session, "Go"))["method"] == "session/update"
    close_stdout(agent)
    assert agent.process.wait(EXIT_SECONDS) == 0


def exchange(agent: AgentProcess, method: str, params: Message) -> Message:
    """Send a request and return the next line, read here and now so that the output can be closed afterwards."""
    agent.ask(method, params)
    assert agent.from_agent is not None
    return agent.conversation.agent_said(agent.from_agent.readline())


def close_stdout(agent: AgentProcess) -> None:
    assert agent.from_agent is not None
    agent.from_agent.close()


def test_an_agent_that_is_blocked_by_a_slow_client_ends_at_once(spawn: Spawner) -> None:
    agent = spawn.scripted(ENDLESS, traced=True, reading=False, ends_well=False)
    agent.send(request("initialize", {"protocolVersion": 1}, 0))
    agent.send(*[request("x" * 60, {}, number) for number in range(1500)])  # more answers than a pipe holds
    time.sleep(0.5)  # until it stands still
    terminate(agent)
    assert agent.process.wait(EXIT_SECONDS) == 0


PARENT = """
import subprocess, sys, time
agent = subprocess.Popen(sys.argv[1:])
time.sleep(1000)
"""


@pytest.mark.parametrize("busy", [False, True])
def test_an_agent_ends_when_its_parent_is_killed(tmp_path: Path, *, busy: bool) -> None:
    """The pipes stay open, as they do when the editor has other children; only the parent is gone."""
    script = tmp_path / "script.json"
    script.write_text(f'{{"generations": [{ENDLESS}], "delay": 0.01}}')
    command = [sys.executable, "-c", PARENT, sys.executable, "-m", "gptoss_acp", "--script", str(script)]
    parent = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=private_environment(tmp_path),
    )
    with parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stderr is not None
        parent.stdin.write(b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":1}}\n')
        if busy:
            parent.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"session/new","params":{"cwd":"/"}}\n')
        parent.stdin.flush()
        for _ in range(2 if busy else 1):
            assert b'"result"' in parent.stdout.readline()
        parent.kill()
        # Its end closes the last copy of stderr: neither the agent nor a child of it is left.
        assert select.select([parent.stderr], [], [], EXIT_SECONDS)[0]
        assert parent.stderr.read() == b""


def test_ending_before_the_first_line_is_no_failure(spawn: Spawner) -> None:
    agent = spawn.scripted(ENDLESS)
    assert agent.end() == 0
    assert agent.received == []


def test_stderr_and_home_stay_tidy(spawn: Spawner) -> None:
    agent = spawn.scripted(final("Hello."))
    agent.result(agent.prompt(agent.open(), "Hi"))
    agent.error(agent.prompt("no-such-session", "Hi"))
    agent.send(b"nonsense\n")
    agent.next_null_answer()
    assert agent.end() == 0
    assert agent.stderr == ""
    files = [path.name for path in agent.home.rglob("*") if path.is_file()]
    assert sorted(files) == ["gptoss-acp.log", "opening.lock", "sessions.db", "stderr"]


def test_a_log_level_puts_the_log_on_stderr(spawn: Spawner) -> None:
    agent = spawn.scripted(final("Hello."), arguments=["--log-level", "info"], ends_well=False)
    agent.initialize()
    assert agent.end() == 0
    assert "ending" in agent.stderr


def test_an_unread_stderr_does_not_block_the_agent(tmp_path: Path) -> None:
    """One client never reads it: 300 KB would block a chatty agent for good."""
    script = tmp_path / "script.json"
    script.write_text(f'{{"generations": [{ENDLESS}]}}')
    process = subprocess.Popen(
        [sys.executable, "-m", "gptoss_acp", "--script", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=private_environment(tmp_path),
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = b"nonsense\n" * 3000
        process.stdin.write(lines)
        process.stdin.flush()
        for _ in range(3000):
            assert b"-32700" in process.stdout.readline()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(EXIT_SECONDS) == 0
