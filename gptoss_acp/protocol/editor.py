"""A client on the wire as a session's face: ACP's notifications and requests from agent to client.

Knows `session/update`, `session/request_permission`, `fs/*` and `terminal/*`. Knows nothing about modes or tools.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from gptoss_acp.errors import ToolError
from gptoss_acp.protocol.face import Answered, TurnCancelledError
from gptoss_acp.rpc import Connection, RpcError
from gptoss_acp.shielding import unharmed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from gptoss_acp.protocol.capabilities import Capabilities
    from gptoss_acp.protocol.shapes import Elicitation, PermissionOption, ToolCallState, Update

LONGEST_WRITE = 48_000
"""Bytes of a file's text, as JSON, that still fit into one line with the rest of the request."""

LONGEST_READ = 10 * 2**20
"""Characters of a file's text, about as much as is read from the disk."""

LONGEST_OUTPUT = 128 * 1024
"""Bytes of a command's output that the editor's terminal keeps for us."""

_FILE_SECONDS = 20.0
_END_SECONDS = 1.0


class Editor:
    """A client of ours on the wire, as the face of one session."""

    longest_write = LONGEST_WRITE

    def __init__(self, connection: Connection, session_id: str, capabilities: Capabilities) -> None:
        self._connection = connection
        self._session_id = session_id
        self._cleaning: set[asyncio.Task[Any]] = set()
        self.capabilities = capabilities

    def update(self, update: Update) -> None:
        if (
            update["sessionUpdate"] in ("user_message_chunk", "agent_message_chunk", "agent_thought_chunk")
            and "text" in update["content"]
        ):
            content = update["content"]

            def frame(joined: str) -> dict[str, Any]:
                return self._params(update={**update, "content": {**content, "text": joined}})

            self._connection.notify_text("session/update", update["messageId"], content["text"], frame)
        else:
            self._connection.notify("session/update", self._params(update=update))

    @property
    def congested(self) -> bool:
        return self._connection.congested

    async def drain(self) -> None:
        if self._connection.congested:
            await self._connection.drain()

    async def ask(self, tool_call: ToolCallState, options: Sequence[PermissionOption]) -> str:
        outcome = await self._field("outcome", dict, "session/request_permission", toolCall=tool_call, options=options)
        if outcome.get("outcome") == "cancelled":
            raise TurnCancelledError
        chosen = outcome.get("optionId")
        if outcome.get("outcome") != "selected" or chosen not in [option["optionId"] for option in options]:
            raise ToolError("the editor's answer to the question is none of those that were offered")
        return str(chosen)

    async def elicit(self, elicitation: Elicitation) -> Answered:
        answer = await self._request("elicitation/create", **elicitation)
        match answer:
            case {"action": "accept", "content": dict(content)}:
                return Answered("accept", content)
            case {"action": "decline" | "cancel" as action}:
                return Answered(action)
            case {"action": "accept", **rest} if not rest.get("content"):
                return Answered("accept")
        raise ToolError("the editor's answer to elicitation/create is none")

    async def read_text_file(self, path: Path) -> str:
        text = str(await self._field("content", str, "fs/read_text_file", _FILE_SECONDS, path=str(path)))
        if len(text) > LONGEST_READ:
            raise ToolError(f"the editor's text is too large: {len(text):,} characters, the most is {LONGEST_READ:,}")
        return text

    async def write_text_file(self, path: Path, text: str) -> None:
        await self._request("fs/write_text_file", _FILE_SECONDS, path=str(path), content=text)

    async def run_in_terminal(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        *,
        on_terminal: Callable[[str], None],
        on_output: Callable[[str], None],
    ) -> int:
        create = self._field(
            *("terminalId", str, "terminal/create"),
            command=command[0],
            args=list(command[1:]),
            cwd=str(cwd),
            env=[{"name": name, "value": value} for name, value in environment.items()],
            outputByteLimit=LONGEST_OUTPUT,
        )
        terminal = await self._create(create)
        on_terminal(terminal)
        try:
            status = await self._request("terminal/wait_for_exit", terminalId=terminal)
        except BaseException:
            await unharmed(self._end(terminal, on_output, kill=True))
            raise
        await unharmed(self._end(terminal, on_output, kill=False))
        code = status.get("exitCode") if isinstance(status, dict) else None
        return code if isinstance(code, int) else 128

    async def _create(self, create: Coroutine[Any, Any, Any]) -> str:
        """Await a new terminal; when cancelled, give it back as soon as the editor has made it."""
        creating = asyncio.create_task(create)
        try:
            return str(await asyncio.shield(creating))
        except asyncio.CancelledError:
            cleaning = asyncio.create_task(self._end_unseen(creating))
            self._cleaning.add(cleaning)
            cleaning.add_done_callback(self._cleaning.discard)
            raise

    async def _end_unseen(self, creating: asyncio.Task[Any]) -> None:
        with contextlib.suppress(ToolError):
            await self._end(str(await creating), lambda _: None, kill=True)

    async def _end(self, terminal: str, on_output: Callable[[str], None], *, kill: bool) -> None:
        """Collect what a terminal shows and give it back; each step is tried, whatever became of the one before."""
        if kill:
            with contextlib.suppress(ToolError):
                await self._request("terminal/kill", _END_SECONDS, terminalId=terminal)
        with contextlib.suppress(ToolError):
            on_output(await self._field("output", str, "terminal/output", _END_SECONDS, terminalId=terminal))
        with contextlib.suppress(ToolError):
            await self._request("terminal/release", _END_SECONDS, terminalId=terminal)

    async def _field(self, name: str, kind: type, method: str, seconds: float | None = None, **params: Any) -> Any:
        answer = await self._request(method, seconds, **params)
        value = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(value, kind):
            raise ToolError(f"the editor's answer to {method} has no {name}")
        return value

    async def _request(self, method: str, seconds: float | None = None, **params: Any) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await self._connection.request(method, self._params(**params))
        except RpcError as error:
            raise ToolError(f"the editor refused {method}: {error.message[:500]}") from None
        except TimeoutError:
            raise ToolError(f"the editor did not answer {method}") from None

    def _params(self, **params: Any) -> dict[str, Any]:
        return {"sessionId": self._session_id, **params}
