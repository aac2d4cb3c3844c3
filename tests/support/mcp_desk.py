"""MCP servers for tests, as an editor configures them, and a desk that has their tools.

Knows how `mcp_server.py` is started. Knows nothing about what its tools do.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
from acp.schema import EnvVariable, HttpHeader, HttpMcpServer, McpServerStdio, SseMcpServer

from gptoss_acp.harmony import render
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.protocol.updates import Updates
from gptoss_acp.settings import Mode
from gptoss_acp.tools.mcp.servers import Servers
from gptoss_acp.tools.registry import CODING_TOOLS
from gptoss_acp.tools.runner import Runner
from gptoss_acp.workspace.sandbox import Sandbox
from tests.support.desk import Desk
from tests.support.places import REPOSITORY
from tests.support.processes import alive
from tests.support.waiting import all_has_run, settled

PROGRAM = REPOSITORY / "tests" / "support" / "mcp_server.py"
PATIENT = 60
"""Seconds: a server of Python takes long to start on a busy machine."""


def program(folder: Path, kind: str = "stdio", name: str = "test") -> McpServerStdio:
    variable = EnvVariable(name="MCP_TEST_KEY", value="secret")
    return McpServerStdio(name=name, command=sys.executable, args=[str(PROGRAM), kind, str(folder)], env=[variable])


def shell(script: str, name: str = "broken") -> McpServerStdio:
    return McpServerStdio(name=name, command="sh", args=["-c", script], env=[])


@contextlib.contextmanager
def listening(folder: Path, kind: str) -> Iterator[tuple[HttpMcpServer | SseMcpServer, subprocess.Popen[bytes]]]:
    """Run the server on a port of its own."""
    headers = [HttpHeader(name="X-Key", value="secret")]
    with subprocess.Popen([sys.executable, str(PROGRAM), kind, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        try:
            if kind == "sse":
                yield SseMcpServer(type="sse", name="test", url=f"{address}/sse", headers=headers), process
            else:
                yield HttpMcpServer(type="http", name="test", url=f"{address}/mcp", headers=headers), process
        finally:
            process.kill()


class McpDesk(Desk):
    """A desk whose runner has the tools of `servers` too."""

    def __init__(
        self,
        cwd: Path,
        servers: Servers,
        mode: Mode = "full-access",
        answer: str = "reject_once",
        capabilities: Capabilities | None = None,
    ) -> None:
        super().__init__(cwd, mode, answer=answer, capabilities=capabilities)
        self.servers = servers
        updates = Updates(self.face, lambda _: None)
        self.runner = Runner(self.workspace, self.permissions, updates, [*CODING_TOOLS, *servers.tools()])


@contextlib.asynccontextmanager
async def ready(
    cwd: Path,
    *configurations: Any,
    mode: Mode = "full-access",
    answer: str = "x",
    sandbox: Sandbox | None = None,
    capabilities: Capabilities | None = None,
) -> AsyncIterator[McpDesk]:
    """Connect to the servers, and let go of them at the end."""
    sandbox = sandbox or Sandbox("off", [cwd])
    modes = capabilities.elicitation_modes if capabilities else ()
    words = functools.partial(sandbox.server_words, cwd)
    servers = Servers(configurations, cwd, render.tellable, words, modes=modes)
    try:
        await servers.settled(PATIENT)
        desk = McpDesk(cwd, servers, mode, answer, capabilities)
        desk.workspace.sandbox = sandbox
        yield desk
    finally:
        servers.stop()
        await asyncio.gather(*(server._living for server in servers._servers), return_exceptions=True)
        await programs_have_ended()


async def programs_have_ended() -> None:
    """Wait for those on pipes: the SDK waits only so long, and the loop must hear of their end before it is closed."""
    await settled(lambda: not any(map(_is_on_pipes, psutil.Process().children())), PATIENT)
    await all_has_run()


def _is_on_pipes(process: psutil.Process) -> bool:
    try:
        return not {"http", "sse"} & set(process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def names(servers: Servers) -> list[str]:
    return [tool.description.name for tool in servers.tools()]


def running(folder: Path, name: str = "pid") -> bool:
    return alive(int((folder / name).read_text()))
