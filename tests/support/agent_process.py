"""The real program as an editor sees it: spawned, spoken to in lines, and every line it sends checked.

Knows the wire and the SDK's schema. Knows nothing about the program's inside.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from tests.support.conformance import Conversation, Message, parsed

COMMAND = (str(Path(sys.executable).with_name("gptoss-acp")),)
EXIT_SECONDS = 2.0
"""The promise is one second; the other is for a machine that has more to do."""


@dataclass(frozen=True)
class Received:
    """A message and when it came, by time.monotonic()."""

    at: float
    message: Message


class EndedError(AssertionError):
    """The program has ended while something was expected of it."""


class AgentProcess:
    """The program in a process of its own, with `home` as its home; as a context, it must end well.

    `stdin`, `stdout`: as for Popen; `to_agent`, `from_agent`: our ends, where those are not pipes.
    `reading=False`: leave the program's output unread until `start_reading`.
    `traced`: let the program write its trace. `ends_well=False`: the test itself looks at how the program ends and at what it says on stderr.
    """

    def __init__(
        self,
        home: Path,
        arguments: Sequence[str] = (),
        *,
        command: Sequence[str] = COMMAND,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        to_agent: IO[bytes] | None = None,
        from_agent: IO[bytes] | None = None,
        reading: bool = True,
        traced: bool = False,
        ends_well: bool = True,
    ) -> None:
        self.home = home
        self.trace_file = home / "trace"
        self.received: list[Received] = []
        self.null_answers: list[Message] = []
        self._stderr_file = home / "stderr"
        self._ends_well = ends_well
        with self._stderr_file.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*command, *arguments, *(["--trace", str(self.trace_file)] if traced else [])],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=private_environment(home),
                bufsize=0,
            )
        self.to_agent = to_agent or self.process.stdin
        self.from_agent = from_agent or self.process.stdout
        self._lines: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        self.conversation = Conversation()
        self._asked = 0
        self._answers: dict[Any, Message] = {}
        if reading and self.from_agent is not None:
            self.start_reading()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._ends_well:
                assert self.end() == 0
                assert self.stderr == ""
        finally:
            self.process.kill()
            self.process.wait()
            for file in (self.to_agent, self.from_agent):
                if file is not None:
                    file.close()

    # Speaking

    def send(self, *lines: Message | bytes) -> None:
        """Write all `lines` at once; bytes go as they are, and need their own line end."""
        content = b"".join(line if isinstance(line, bytes) else line_of(line) for line in lines)
        for line in content.splitlines():
            self._note(parsed(line))
        assert self.to_agent is not None
        rest = memoryview(content)
        while rest:
            rest = rest[self.to_agent.write(rest) :]

    def ask(self, method: str, params: Any, identifier: Any = None) -> Any:
        """Send a request and return its id, without waiting for the answer."""
        self._asked += 1
        identifier = 1000 + self._asked if identifier is None else identifier
        self.send(request(method, params, identifier))
        return identifier

    def expect(self, method: str, identifier: Any) -> None:
        """Note that a request is on its way in pieces, so that its answer will be taken for one."""
        self._note(request(method, {}, identifier))

    def notify(self, method: str, params: Any) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def initialize(self) -> Any:
        return self.result(self.ask("initialize", {"protocolVersion": 1}))

    def new_session(self) -> str:
        session: str = self.result(self.ask("session/new", {"cwd": str(self.home), "mcpServers": []}))["sessionId"]
        return session

    def open(self) -> str:
        """Initialize, and return a new session."""
        self.initialize()
        return self.new_session()

    def prompt(self, session: str, text: str, identifier: Any = None) -> Any:
        """Send a prompt and return its id, without waiting for the answer."""
        return self.ask("session/prompt", prompt_params(session, text), identifier)

    def cancel(self, session: str) -> None:
        self.notify("session/cancel", {"sessionId": session})

    # Hearing

    def start_reading(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def read_until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Take what the program sends until `condition` holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            try:
                at, line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"nothing more came in {seconds} s; stderr: {self.stderr!r}") from None
            if not line:
                self._lines.put((at, line))
                raise EndedError(f"the program ended; stderr: {self.stderr!r}")
            self._take(at, line)

    def answer(self, identifier: Any, seconds: float = 60) -> Message:
        self.read_until(lambda: identifier in self._answers, seconds)
        return self._answers[identifier]

    def result(self, identifier: Any, seconds: float = 60) -> Any:
        answer = self.answer(identifier, seconds)
        assert "result" in answer, answer
        return answer["result"]

    def error(self, identifier: Any) -> Any:
        answer = self.answer(identifier)
        assert "error" in answer, answer
        return answer["error"]

    def next_null_answer(self) -> Any:
        """Return the next error that belongs to no request."""
        count = len(self.null_answers)
        self.read_until(lambda: len(self.null_answers) > count)
        return self.null_answers[count]["error"]

    def is_well(self) -> bool:
        """Whether the program answers; a request of no effect says so."""
        return bool(self.error(self.ask("test/ping", {}))["code"] == -32601)

    def updates(self, session: str, kind: str) -> list[Received]:
        """Return the session's updates of one kind that have been taken so far."""
        return [
            received
            for received in self.received
            if received.message.get("method") == "session/update"
            and received.message["params"]["sessionId"] == session
            and received.message["params"]["update"]["sessionUpdate"] == kind
        ]

    def chunks(self, session: str) -> list[Received]:
        return self.updates(session, "agent_message_chunk")

    def messages(self, session: str, kind: str = "agent_message_chunk") -> list[str]:
        """Return the session's messages, each joined from its chunks, in the order of their beginnings."""
        texts: dict[str, str] = {}
        for chunk in self.updates(session, kind):
            update = chunk.message["params"]["update"]
            texts[update["messageId"]] = texts.get(update["messageId"], "") + update["content"]["text"]
        return list(texts.values())

    def traced_tokens(self) -> list[int]:
        """Return every id that the model has sampled so far; the program must have been spawned with `traced`."""
        lines = self.trace_file.read_text("utf-8").splitlines()
        return [int(line.split()[1]) for line in lines if line.startswith("token ")]

    def traced_prompts(self) -> list[list[int]]:
        """Return the ids of every prompt that the model was given so far, likewise."""
        return prompts_in(self.trace_file)

    @property
    def stderr(self) -> str:
        return self._stderr_file.read_text("utf-8", errors="replace")

    # Ending

    def end(self) -> int:
        """Close the program's input and return its exit code, having taken all that it still sent."""
        if self.to_agent is not None:
            self.to_agent.close()
        return self.exit_code()

    def exit_code(self) -> int:
        """Wait for the program's end, which is at hand, and take all that it still sent."""
        code = self.process.wait(EXIT_SECONDS)
        if self.from_agent is not None and not self.from_agent.closed:
            while (received := self._lines.get(timeout=EXIT_SECONDS))[1]:
                self._take(*received)
            self._lines.put(received)
        return code

    # The reading thread, and the checks of every line

    def _read(self) -> None:
        assert self.from_agent is not None
        file = os.fdopen(os.dup(self.from_agent.fileno()), "rb")
        with file:
            for line in file:
                self._lines.put((time.monotonic(), line))
        self._lines.put((time.monotonic(), b""))

    def _note(self, message: Any) -> None:
        self.conversation.client_said(message)
        if isinstance(message, dict) and not isinstance(message.get("id"), dict | list):
            self._answers.pop(message.get("id"), None)

    def _take(self, at: float, line: bytes) -> None:
        message = self.conversation.agent_said(line)
        self.received.append(Received(at, message))
        if "method" not in message:
            if message["id"] is None:
                self.null_answers.append(message)
            self._answers[message["id"]] = message


def prompts_in(trace: Path) -> list[list[int]]:
    """Return the ids of every prompt that a program has recorded with `--trace`."""
    lines = trace.read_text("utf-8").splitlines()
    return [[int(word) for word in line.split()[1:]] for line in lines if line.startswith("prompt ")]


def line_of(message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def request(method: str, params: Any, identifier: Any) -> Message:
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params}


def prompt_params(session: str, text: str) -> Message:
    return {"sessionId": session, "prompt": [{"type": "text", "text": text}]}


def private_environment(home: Path) -> dict[str, str]:
    """Return the tests' environment with `home` in place of the user's."""
    width = {"COLUMNS", "LINES"}  # pytest-xdist's own: a terminal says itself how wide it is
    return {
        **{name: value for name, value in os.environ.items() if name not in width},
        "GPTOSS_ACP_SANDBOX": "off",  # that of this machine, if any, has tests of its own
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        # A title comes whenever the model has time for it, and takes one of the generations that a script holds.
        "GPTOSS_ACP_TITLES": "off",
    }
