"""Standard input and output of every kind that a client may give, and prints that must not reach them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.agent_process import line_of, prompt_params, request
from tests.support.conformance import Conversation
from tests.support.spawner import Spawner
from tests.support.tokens import final, numbers

HELLO = final("Hello.")
INITIALIZE = request("initialize", {"protocolVersion": 1}, 0)


def test_with_stdin_from_the_null_device_the_code_is_0(spawn: Spawner) -> None:
    agent = spawn.scripted(HELLO, stdin=subprocess.DEVNULL)
    assert agent.exit_code() == 0
    assert agent.received == []


def test_requests_from_a_file_are_answered_to_a_file(spawn: Spawner, tmp_path: Path) -> None:
    new_session = request("session/new", {"cwd": "/", "mcpServers": []}, 1)
    source, target = tmp_path / "requests", tmp_path / "answers"
    ping = request("test/ping", {}, 2)
    source.write_bytes(line_of(INITIALIZE) + b"nonsense\n" + line_of(new_session) + line_of(ping))
    with source.open("rb") as requests, target.open("wb") as answers:
        agent = spawn.scripted(HELLO, stdin=requests, stdout=answers)
        assert agent.exit_code() == 0
    conversation = Conversation()
    for asked in (INITIALIZE, new_session, ping):
        conversation.client_said(asked)
    messages = [conversation.agent_said(line) for line in target.read_bytes().splitlines(keepends=True)]
    assert sorted((message["id"] for message in messages), key=str) == [0, 1, 2, None]


def test_the_last_request_of_a_file_needs_no_line_end(spawn: Spawner, tmp_path: Path) -> None:
    source, target = tmp_path / "requests", tmp_path / "answers"
    source.write_bytes(line_of(INITIALIZE).rstrip())
    with source.open("rb") as requests, target.open("wb") as answers:
        assert spawn.scripted(HELLO, stdin=requests, stdout=answers).exit_code() == 0
    assert json.loads(target.read_text())["id"] == 0


def test_with_stdout_to_the_null_device_requests_do_no_harm(spawn: Spawner) -> None:
    agent = spawn.scripted(HELLO, stdout=subprocess.DEVNULL)
    agent.send(INITIALIZE, b"nonsense\n", request("session/prompt", prompt_params("x", "Hi"), 1))
    assert agent.end() == 0


@pytest.mark.parametrize("blocking", [True, False])
def test_a_socket_is_as_good_as_two_pipes(spawn: Spawner, *, blocking: bool) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(blocking)
    to_agent, from_agent = ours.makefile("wb", 0), ours.makefile("rb", 0)
    agent = spawn.scripted(final(numbers(2000)), stdin=theirs, stdout=theirs, to_agent=to_agent, from_agent=from_agent)
    theirs.close()
    session = agent.open()
    assert agent.result(agent.prompt(session, "Hi"))["stopReason"] == "end_turn"
    assert agent.messages(session) == [numbers(2000)]
    ours.shutdown(socket.SHUT_WR)
    assert agent.exit_code() == 0
    ours.close()


def test_nonblocking_pipes_are_as_good_as_others(spawn: Spawner) -> None:
    their_in, our_out = os.pipe()
    our_in, their_out = os.pipe()
    os.set_blocking(their_in, False)
    os.set_blocking(their_out, False)
    text = numbers(2000)
    with os.fdopen(their_in), os.fdopen(their_out, "w"):
        agent = spawn.scripted(
            final(text),
            stdin=their_in,
            stdout=their_out,
            to_agent=os.fdopen(our_out, "wb", 0),
            from_agent=os.fdopen(our_in, "rb", 0),
        )
    session = agent.open()
    assert agent.result(agent.prompt(session, "Hi"))["stopReason"] == "end_turn"
    assert agent.messages(session) == [text]


PRINTING = """
import argparse, ctypes, os, subprocess, sys
from gptoss_acp import server, settings
from gptoss_acp.cli import serve

def make_engine(chosen):
    engine = serve.make_engine(chosen)
    load = engine.load
    async def load_and_print(**options):
        print("Python says hello", flush=True)
        os.write(1, b"descriptor 1 says hello\\n")
        libc = ctypes.CDLL(None)
        libc.puts(b"C says hello")
        libc.fflush(None)
        subprocess.run(["sh", "-c", "cat; echo a child says hello"], check=True)
        await load(**options)
    engine.load = load_and_print
    return engine

parser = argparse.ArgumentParser()
settings.add_flags(parser)
server.run(settings.parse(parser), make_engine)
"""


def test_whatever_prints_inside_the_agent_reaches_stderr_and_not_the_wire(spawn: Spawner) -> None:
    agent = spawn.scripted(HELLO, command=(sys.executable, "-c", PRINTING), ends_well=False)
    session = agent.open()
    assert agent.result(agent.prompt(session, "Hi"))["stopReason"] == "end_turn"
    assert agent.messages(session) == ["Hello."]
    assert agent.end() == 0
    for speaker in ("Python", "descriptor 1", "C", "a child"):
        assert f"{speaker} says hello\n" in agent.stderr


@pytest.mark.parametrize("place", [".", "missing/trace"])
def test_a_trace_that_can_not_be_written_ends_the_start_with_one_line(place: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gptoss_acp", "--trace", str(tmp_path / place)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("gptoss-acp: --trace can't be written:")


def test_a_trace_to_a_pipe_that_nobody_reads_does_not_hang_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-m", "gptoss_acp", "--trace", str(tmp_path / "pipe")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("gptoss-acp: --trace can't be written:")
