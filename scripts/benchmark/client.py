"""The agent as a process, and as little of an ACP client as measures it without being in its way.

Messages are stamped when they are read and parsed with orjson: the SDK's client would spend more on each than the
agent does. Everything runs on the caller's thread, so nothing of ours is awake while the agent works. The pipe is as
large as Linux allows, so that a busy machine does not make the agent wait for us.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import psutil

from benchmark.figures import BenchError

COMMAND = str(Path(sys.executable).with_name("gptoss-acp"))
DIRECTORY = Path(__file__).resolve().parents[2]
"""The working directory of every session."""

SILENCE_SECONDS = 300.0
SETTLING_SECONDS = 300.0
CLOSING_SECONDS = 3.0


@dataclass
class Turn:
    """A prompt and its answer. Times are `time.perf_counter()`; `chunks` are when each text chunk came, `answered` is 0
    while the turn runs.
    """

    session: str
    sent: float = 0.0
    chunks: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    answered: float = 0.0
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def stop_reason(self) -> str:
        return str(self.answer["stopReason"])

    def usage(self, count: str) -> int:
        """Return one of the answer's token counts, such as `outputTokens`."""
        return int(self.answer["usage"][count])

    @property
    def first_token(self) -> float | None:
        """When the first token came, by the agent's own count of seconds; None if the turn ended without one.

        That count begins a little after `sent`, so this is a little early.
        """
        milliseconds = self.answer["_meta"]["gptoss-acp"]["timeToFirstTokenMs"]
        return None if milliseconds is None else self.sent + milliseconds / 1000

    @property
    def first_token_seconds(self) -> float:
        """Seconds from sending to the first token, which opens a header and so is never shown.

        They are those to the turn's answer, less what the agent says it spent on the tokens after the first. That
        counts both ways through the pipe, and the turn's end: it errs against us.
        """
        rate = self.answer["_meta"]["gptoss-acp"]["tokensPerSecond"]
        decoding = (self.usage("outputTokens") - 1) / rate if rate else 0.0
        return self.answered - self.sent - decoding


class AgentProcess:
    """A running agent; `arguments` are those of its command line.

    It stores no contexts, unless the arguments say so: those of an earlier run would spare this one its work. Its
    sessions are kept in a folder that goes with it, and it gives them no titles, which would be work beside what is
    measured.
    """

    def __init__(self, *arguments: str) -> None:
        self._data = tempfile.TemporaryDirectory()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GPTOSS_ACP_")}
        self._process = subprocess.Popen(
            [COMMAND, "--disk-gb", "0", "--titles", "off", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pipesize=2**20,
            cwd=DIRECTORY,
            env={**kept, "XDG_DATA_HOME": self._data.name},
        )
        assert self._process.stdin
        assert self._process.stdout
        self._in = self._process.stdin
        self._out = self._process.stdout.fileno()
        self._rest = b""
        self._received: deque[tuple[float, dict[str, Any]]] = deque()
        self._requests = 0
        self._prompts: dict[int, Turn] = {}
        self._turns: dict[str, Turn] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._in.close()
        try:
            self._process.wait(CLOSING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._data.cleanup()

    def initialize(self) -> None:
        self.request("initialize", {"protocolVersion": 1})

    def load(self) -> None:
        """Initialize, and wait for the model."""
        self.initialize()
        self.request("authenticate", {"methodId": "prepare-model"})

    def new_session(self) -> str:
        answer = self.request("session/new", {"cwd": str(DIRECTORY), "mcpServers": []})
        return str(answer["sessionId"])

    def close_session(self, session: str) -> None:
        self.request("session/close", {"sessionId": session})

    def prompt(self, session: str, text: str) -> Turn:
        """Run a turn to its end."""
        return self.finish(self.begin(session, text))

    def begin(self, session: str, text: str) -> Turn:
        """Send a prompt; `receive` and `finish` then fill in the turn."""
        turn = self._turns[session] = Turn(session)
        params = {"sessionId": session, "prompt": [{"type": "text", "text": text}]}
        turn.sent = time.perf_counter()
        self._prompts[self._send("session/prompt", params)] = turn
        return turn

    def finish(self, turn: Turn) -> Turn:
        while not turn.answered:
            self.receive()
        return turn

    def cancel(self, turn: Turn) -> float:
        """Cancel the turn and return the seconds until it was answered."""
        started = time.perf_counter()
        self._write({"method": "session/cancel", "params": {"sessionId": turn.session}})
        self.finish(turn)
        if turn.stop_reason != "cancelled":
            raise BenchError(f"a cancelled turn ended with {turn.stop_reason}")
        return turn.answered - started

    def receive(self, seconds: float | None = None) -> None:
        """Wait for the next message, at most for `seconds` if they are given, and note it in its turn."""
        if seconds is not None and not self._received and not select.select([self._out], [], [], seconds)[0]:
            return
        self._note(*self._next())

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return its result."""
        identifier = self._send(method, params)
        while True:
            at, message = self._next()
            if message.get("id") == identifier and "method" not in message:
                return _result(message)
            self._note(at, message)

    def settle(self) -> None:
        """Wait until the agent has nothing more to do: between turns it reads ahead."""
        settle(self._process.pid)

    def cpu_seconds(self) -> float:
        """Return the processor time that the agent has used so far, all its threads together."""
        return cpu_seconds(self._process.pid)

    def resident_bytes(self) -> int:
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def _note(self, at: float, message: dict[str, Any]) -> None:
        if message.get("method") == "session/update":
            turn, update = self._turns.get(message["params"]["sessionId"]), message["params"]["update"]
            if turn is not None and update["sessionUpdate"] == "agent_message_chunk":
                turn.chunks.append(at)
                turn.texts.append(update["content"]["text"])
        elif "method" in message and "id" in message:
            # Such as a tool's question for permission: the measured turns need none, so the answer is no.
            self._write({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
        elif message.get("id") in self._prompts:
            turn = self._prompts.pop(message["id"])
            turn.answer, turn.answered = _result(message), at

    def _send(self, method: str, params: dict[str, Any]) -> int:
        self._requests += 1
        self._write({"id": self._requests, "method": method, "params": params})
        return self._requests

    def _write(self, message: dict[str, Any]) -> None:
        rest = memoryview(orjson.dumps({"jsonrpc": "2.0", **message}) + b"\n")
        try:
            while rest:
                rest = rest[self._in.write(rest) :]
        except BrokenPipeError:
            raise self._death() from None

    def _death(self) -> BenchError:
        return BenchError(f"the agent died, with exit code {self._process.wait()}")

    def _next(self) -> tuple[float, dict[str, Any]]:
        while not self._received:
            if not select.select([self._out], [], [], SILENCE_SECONDS)[0]:
                raise BenchError(f"the agent said nothing for {SILENCE_SECONDS:.0f} s")
            chunk = os.read(self._out, 2**20)
            at = time.perf_counter()
            if not chunk:
                raise self._death()
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self._received.extend((at, orjson.loads(line)) for line in lines)
        return self._received.popleft()


def settle(pid: int) -> None:
    """Wait until a process has used no processor time for a while."""
    started, quiet = time.perf_counter(), 0
    while quiet < 4:
        before = cpu_seconds(pid)
        time.sleep(0.05)
        quiet = quiet + 1 if cpu_seconds(pid) == before else 0
        if time.perf_counter() - started > SETTLING_SECONDS:
            raise BenchError(f"the agent is still busy after {SETTLING_SECONDS:.0f} s without a prompt")


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _result(message: dict[str, Any]) -> dict[str, Any]:
    if "error" in message:
        raise BenchError(f"the agent answered with an error: {message['error']}")
    result: dict[str, Any] = message["result"]
    return result
