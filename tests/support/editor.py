"""An editor made of the ACP SDK's client: files in buffers, real terminals, a user who answers.

Knows the SDK. Knows nothing about the program's inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from acp import Client, RequestError, schema, spawn_agent_process
from acp.client import ClientSideConnection

from tests.support.agent_process import private_environment, prompts_in
from tests.support.conformance import check_trace
from tests.support.places import REPOSITORY
from tests.support.tokens import text_of

Answer = Literal["allow_once", "allow_always", "reject_once", "cancelled", "nothing"]


class Terminal:
    """A program in a terminal of the editor."""

    def __init__(self, process: asyncio.subprocess.Process, on_output: Callable[[], None]) -> None:
        self.process = process
        self._on_output = on_output
        self.output = ""
        self.released = False
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(4096):
            self.output += chunk.decode(errors="replace")
            self._on_output()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Editor:
    """What the agent may ask of a client, and all that it said. `answers` are the user's, the last one again for more."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers) or ["allow_once"]
        self.buffers: dict[str, str] = {}
        self.updates: list[tuple[float, Any]] = []
        self.permissions: list[tuple[Any, list[Any]]] = []
        self.asked: list[str] = []
        self.terminals: list[Terminal] = []
        self.changed = asyncio.Event()

    # The agent's side calls these

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append((time.monotonic(), update))
        self._note("session/update")

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[Any], **_: Any
    ) -> schema.RequestPermissionResponse:
        self.permissions.append((tool_call, options))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self._note("session/request_permission")
        if answer == "nothing":
            await asyncio.Event().wait()
        if answer == "cancelled":
            return schema.RequestPermissionResponse(outcome=schema.DeniedOutcome(outcome="cancelled"))
        return schema.RequestPermissionResponse(outcome=schema.AllowedOutcome(outcome="selected", option_id=answer))

    async def read_text_file(self, session_id: str, path: str, **_: Any) -> schema.ReadTextFileResponse:
        self._note("fs/read_text_file")
        try:
            content = self.buffers[path] if path in self.buffers else Path(path).read_text("utf-8")
        except OSError as error:
            raise RequestError.resource_not_found(path) from error
        return schema.ReadTextFileResponse(content=content)

    async def write_text_file(self, session_id: str, path: str, content: str, **_: Any) -> None:
        self._note("fs/write_text_file")
        self.buffers.pop(path, None)
        Path(path).write_text(content, "utf-8")

    async def create_terminal(
        self, session_id: str, command: str, args: Sequence[str] = (), env: Any = None, cwd: str | None = None, **_: Any
    ) -> schema.CreateTerminalResponse:
        self._note("terminal/create")
        process = await asyncio.create_subprocess_exec(
            command,
            *(args or ()),
            cwd=cwd,
            env=os.environ | {one.name: one.value for one in env or ()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self.terminals.append(Terminal(process, self.changed.set))
        return schema.CreateTerminalResponse(terminal_id=f"terminal-{len(self.terminals) - 1}")

    async def terminal_output(self, session_id: str, terminal_id: str, **_: Any) -> schema.TerminalOutputResponse:
        self._note("terminal/output")
        return schema.TerminalOutputResponse(output=self._terminal(terminal_id).output, truncated=False)

    async def wait_for_terminal_exit(
        self, session_id: str, terminal_id: str, **_: Any
    ) -> schema.WaitForTerminalExitResponse:
        self._note("terminal/wait_for_exit")
        terminal = self._terminal(terminal_id)
        await terminal.reading
        code = await terminal.process.wait()
        return schema.WaitForTerminalExitResponse(exit_code=code if code >= 0 else None)

    async def kill_terminal(self, session_id: str, terminal_id: str, **_: Any) -> None:
        self._note("terminal/kill")
        self._terminal(terminal_id).kill()

    async def release_terminal(self, session_id: str, terminal_id: str, **_: Any) -> None:
        self._note("terminal/release")
        terminal = self._terminal(terminal_id)
        terminal.kill()
        terminal.released = True

    def forget(self) -> None:
        """Forget what the agent has said and asked for; files and answers stay."""
        for kept in (self.updates, self.permissions, self.asked):
            kept.clear()

    # The tests look at these

    def calls(self) -> list[dict[str, Any]]:
        """Return every tool call, its updates merged into it; `statuses` are all it went through.

        Not the one that shows the model's loading: whether there is one is for the machine's speed to say.
        """
        calls: dict[str, dict[str, Any]] = {}
        for _, update in self.updates:
            if update.session_update in {"tool_call", "tool_call_update"}:
                fields = update.model_dump(mode="json", by_alias=True, exclude_unset=True)
                call = calls.setdefault(fields["toolCallId"], {"statuses": []})
                if "status" in fields:
                    call["statuses"].append(fields["status"])
                call.update(fields)
        return [call for call in calls.values() if not call["title"].startswith("Loading ")]

    def of_kind(self, kind: str) -> list[Any]:
        return [update for _, update in self.updates if update.session_update == kind]

    def text(self) -> str:
        return "".join(update.content.text for update in self.of_kind("agent_message_chunk"))

    async def until(self, condition: Callable[[], Any], seconds: float = 20) -> None:
        """Wait until `condition` holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def _terminal(self, identifier: str) -> Terminal:
        terminal = self.terminals[int(identifier.removeprefix("terminal-"))]
        assert not terminal.released, "a released terminal was used"
        return terminal

    def _note(self, method: str) -> None:
        self.asked.append(method)
        self.changed.set()


class Open:
    """A session of the real program."""

    def __init__(self, connection: ClientSideConnection, process: asyncio.subprocess.Process, created: Any) -> None:
        self.connection = connection
        self.process = process
        self.created = created
        self.identifier = created.session_id

    async def another(self, work: Path) -> Open:
        """Open another session of the same program, in `work`."""
        created = await self.connection.new_session(cwd=str(work), mcp_servers=[])
        return Open(self.connection, self.process, created)

    async def prompt(self, text: str = "go") -> str:
        """Run one turn and return its stop reason."""
        block = schema.TextContentBlock(type="text", text=text)
        return str((await self.connection.prompt(session_id=self.identifier, prompt=[block])).stop_reason)

    async def cancel(self) -> None:
        await self.connection.cancel(session_id=self.identifier)


def prompts(folder: Path) -> list[str]:
    """Return every prompt that the model of a session opened in `folder` was given, as text."""
    return [text_of(ids) for ids in prompts_in(folder / "trace")]


@contextlib.asynccontextmanager
async def opened(
    editor: Editor,
    folder: Path,
    *generations: Sequence[int],
    arguments: Sequence[str] = (),
    fs: bool = False,
    terminal: bool = False,
    additional: Sequence[Path] = (),
    delay: float = 0,
    servers: Sequence[Any] = (),
) -> AsyncIterator[Open]:
    """Open a session in `folder/work` with the real program, which plays `generations` unless they are empty."""
    work, home = folder / "work", folder / "home"
    work.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)
    script = folder / "script.json"
    script.write_text(json.dumps({"generations": [list(ids) for ids in generations], "delay": delay}), "utf-8")
    chosen = ["--script", str(script)] if generations else []
    chosen += ["--trace", str(folder / "trace")]
    capabilities = schema.ClientCapabilities(
        fs=schema.FileSystemCapabilities(read_text_file=fs, write_text_file=fs), terminal=terminal
    )
    spawned = spawn_agent_process(
        cast(Client, editor),
        *(sys.executable, "-m", "gptoss_acp", *chosen, *arguments),
        env=private_environment(home) | {"PYTHONPATH": str(REPOSITORY)},
    )
    async with spawned as (connection, process):
        await connection.initialize(protocol_version=1, client_capabilities=capabilities)
        created = await connection.new_session(
            cwd=str(work), mcp_servers=list(servers), additional_directories=[str(path) for path in additional]
        )
        yield Open(connection, process, created)
    check_trace(folder / "trace")
