"""The MCP servers of a session: connected in the background, their tools beside ours once they are ready.

Knows which servers there are, what their tools are called here, and what happens when one fails. Knows nothing about
the protocol: that is `connection.py`'s part, which is imported on the first server's behalf.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gptoss_acp.errors import ToolError
from gptoss_acp.text import clip, clip_line, json_size, visible
from gptoss_acp.tool_description import ToolDescription
from gptoss_acp.tools.mcp.questions import Questions
from gptoss_acp.tools.mcp.schemas import plain
from gptoss_acp.tools.registry import Tool

if TYPE_CHECKING:
    from pathlib import Path

    from mcp import types

    from gptoss_acp.protocol.params import McpServer
    from gptoss_acp.tools.call import Call, Result
    from gptoss_acp.tools.mcp.connection import Connection

log = logging.getLogger(__name__)

CONNECT_SECONDS = 30.0
"""After which the user is told that a server is not ready. One that has to be downloaded first may need that long."""

LONGEST_START_SECONDS = 600.0
"""For a server to start and to list its tools; it is taken when it comes."""

PATIENCE_SECONDS = 10.0
"""For how long after the session's begin a prompt waits for servers.

Most are ready in three, before a prompt has been typed. To go on without them and to bring their tools later would make
the model read the whole conversation again; to wait longer would look like a failure.
"""

LONGEST_DESCRIPTIONS = 60_000
"""Characters of what the model is told of one server's tools; about 15,000 tokens."""

_LONGEST_DESCRIPTION = 2_000
_LONGEST_PREFIX = 30
_LONGEST_NAME = 64
_LONGEST_NAMES = 300


Tellable = Callable[[ToolDescription], ToolDescription]
Confined = Callable[[], Awaitable[Sequence[str]]]


async def _freely() -> Sequence[str]:
    return ()


class Servers:
    """The MCP servers of one session; each is connected from now on until it is stopped.

    `tellable` returns a tool's description as the model can be told it, `confined` the words before those of a server's
    program that start it in a sandbox. What the client shows of elicitations, by their `modes`, a server can ask the
    user while it is called.
    """

    def __init__(
        self,
        configurations: Sequence[McpServer],
        cwd: Path,
        tellable: Tellable,
        confined: Confined = _freely,
        *,
        modes: Collection[str] = (),
    ) -> None:
        prefixes = _distinct(_prefix(configuration.name) for configuration in configurations)
        self._servers = [
            _Server(configuration, prefix, cwd, tellable, confined, modes=modes)
            for configuration, prefix in zip(configurations, prefixes, strict=True)
        ]
        self._began = time.monotonic()

    def tools(self) -> list[Tool]:
        """Return the tools of the servers that are ready, always in the same order."""
        return [tool for server in self._servers for tool in server.tools]

    def restart_ended(self) -> None:
        """Start again those that were ready and have ended."""
        restarted = [server for server in self._servers if server.restart_if_ended()]
        if restarted:
            self._began = time.monotonic()

    async def settled(self, patience: float | None = None) -> None:
        """Return when each is ready or has failed, at the latest `patience` seconds after they were started."""
        rest = None if patience is None else max(0.0, self._began + patience - time.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest):
                for server in self._servers:
                    await server.settled.wait()

    def take_problems(self) -> list[str]:
        """Return what the user should know, each problem once."""
        problems = [problem for server in self._servers for problem in server.problems]
        for server in self._servers:
            server.problems.clear()
        return problems

    def stop(self) -> None:
        """Let go of every server, in the background. One of our own programs has 4 seconds to end by itself."""
        for server in self._servers:
            server.stop()

    async def stopped(self) -> None:
        """Return when every server that was stopped is gone."""
        await asyncio.gather(*(server.gone() for server in self._servers))


class _Server:
    """One server, from its start to its end in one task, as the SDK demands."""

    def __init__(
        self,
        configuration: McpServer,
        prefix: str,
        cwd: Path,
        tellable: Tellable,
        confined: Confined,
        *,
        modes: Collection[str],
    ) -> None:
        self.tools: list[Tool] = []
        self.problems: list[str] = []
        self.settled = asyncio.Event()
        self._configuration = configuration
        self._name = clip_line(configuration.name, 100)
        self._prefix = prefix
        self._tellable = tellable
        self._cwd = cwd
        self._confined = confined
        self._questions = Questions(self._name, modes) if modes else None
        self._connection: Connection | None = None
        self._is_confined = False
        self._was_ready = self._stopped = False
        self._living = asyncio.create_task(self._live())

    def stop(self) -> None:
        self._stopped = True
        # Once only: a second cancel would interrupt the stopping.
        if not self._living.cancelling():
            self._living.cancel()

    async def gone(self) -> None:
        await asyncio.wait([self._living])

    def restart_if_ended(self) -> bool:
        """Start again a server that was ready and has ended; return whether that is so."""
        if not (self._was_ready and self._living.done()) or self._stopped:
            return False
        self._was_ready = False
        self.settled.clear()
        self._living = asyncio.create_task(self._live())
        return True

    async def _live(self) -> None:
        late = asyncio.get_running_loop().call_later(CONNECT_SECONDS, self._go_on_without)
        try:
            sdk = await asyncio.to_thread(importlib.import_module, "gptoss_acp.tools.mcp.connection")
            within = await self._confined()
            self._is_confined = bool(within)
            starting = LONGEST_START_SECONDS
            connecting = sdk.connected(self._configuration, self._cwd, starting, within, self._questions)
            async with connecting as self._connection:
                assert self._connection is not None
                self._take(self._connection)
                late.cancel()
                self._was_ready = True
                self.settled.set()
                while await self._connection.changed():
                    self._take(self._connection)
                raise ConnectionError("the connection has ended")  # noqa: TRY301 (told with what it has said last)
        except ToolError as error:
            log.warning("MCP server %s: %s", self._name, error, exc_info=error.__cause__)
            self._give_up(str(error))
        except Exception:
            log.exception("MCP server %s failed", self._name)
            self._give_up("it failed, and the log file says more")
        finally:
            late.cancel()
            self._connection = None
            self.settled.set()

    def _take(self, connection: Connection) -> None:
        self.tools = list(self._described(connection.tools))
        log.info("MCP server %s is ready: %d tools", self._name, len(self.tools))
        if connection.unusable:
            names = clip_line(", ".join(connection.unusable), _LONGEST_NAMES)
            self.problems.append(
                f"Some tools of the MCP server {self._name} are not described as agreed, and can't be used: {names}."
            )

        if connection.has_more:
            self.problems.append(
                f"The MCP server {self._name} has more than the {len(connection.tools):,} tools that are asked for; "
                "the others can't be used."
            )

    def _go_on_without(self) -> None:
        if not self.settled.is_set():
            self.problems.append(f"The MCP server {self._name} is not ready yet; its tools come when it is.")
            self.settled.set()

    def _give_up(self, reason: str) -> None:
        if self._was_ready:
            self.problems.append(
                f"The MCP server {self._name} had ended: {reason}. It is started again at the next prompt."
            )
        else:
            self.tools = []
            self.problems.append(f"The MCP server {self._name} is not available: {reason}. Going on without it.")

    async def _call(self, tool: str, arguments: dict[str, Any]) -> Result:
        if self._connection is not None:
            with contextlib.suppress(ConnectionError):
                return await self._connection.call(tool, arguments)
        raise ToolError(f"the connection to the MCP server {self._name} is lost; do without it, and tell the user")

    def _described(self, tools: Sequence[types.Tool]) -> Iterator[Tool]:
        """Yield the tools as the model is told of them, as many as it can bear."""
        names = _distinct(f"{self._prefix}__{_safe(tool.name)}"[:_LONGEST_NAME] for tool in tools)
        room = LONGEST_DESCRIPTIONS
        for index, (tool, name) in enumerate(zip(tools, names, strict=True)):
            description = clip(tool.description or "", _LONGEST_DESCRIPTION)
            told = self._tellable(ToolDescription(name, description, plain(tool.input_schema)))
            room -= len(told.description) + json_size(told.parameters)
            if room < 0:
                left_out = f"{len(tools) - index} of the {len(tools)} tools of the MCP server {self._name}"
                self.problems.append(f"The model is not told of {left_out}: their descriptions are too long.")
                return
            yield self._tool(tool, told)

    def _tool(self, tool: types.Tool, told: ToolDescription) -> Tool:
        hints = tool.annotations
        reads_only = hints is not None and hints.read_only_hint is True
        destroys = hints is not None and hints.destructive_hint is True and not reads_only
        title = tool.title or (hints and hints.title) or tool.name
        claim = ", says that it changes nothing" if reads_only else ", says that it can destroy" if destroys else ""

        async def call_server(arguments: dict[str, Any], call: Call) -> Result:
            await call.use(told.name, arguments, reads_only=reads_only)
            with self._questions.of(call) if self._questions else contextlib.nullcontext():
                calling = self._call(tool.name, arguments)
                return await (call.tidied(calling) if self._is_confined else calling)

        shown = clip_line(visible(f"{self._name}: {title}{claim}"), 200)
        return Tool(told, call_server, None, "other", shown)


def _prefix(name: str) -> str:
    """Return a server's name for the model, without the `__` that ends it in the names of its tools."""
    return re.sub("_+", "_", _safe(name))[:_LONGEST_PREFIX].strip("_") or "mcp"


def _safe(name: str) -> str:
    """Return a name that can stand in a Harmony header."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name) or "tool"


def _distinct(names: Iterator[str]) -> list[str]:
    """Return the names in their order, with a number after those that came before."""
    found: dict[str, None] = {}
    for name in names:
        numbered = (f"{name[: _LONGEST_NAME - 4]}-{number}" for number in itertools.count(2))
        found[next(one for one in itertools.chain([name], numbered) if one not in found)] = None
    return list(found)
