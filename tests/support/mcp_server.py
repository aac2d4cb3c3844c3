"""A real MCP server, by the SDK: `python -m tests.support.mcp_server stdio FOLDER`, or `http FOLDER`, or `sse FOLDER`.

It notes in FOLDER what happens to it; over a network it says its port on stdout. `stubborn` is stdio that ends
neither at the end of its input nor when asked to.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn
from mcp import types
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

TRANSPORT, FOLDER = sys.argv[1], Path(sys.argv[2])
PNG = "iVBORw0KGgo="

server = MCPServer("test")


@server.tool(title="Add two numbers", annotations=types.ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> str:
    """Add two numbers."""
    note("added")
    return str(a + b)


@server.tool(annotations=types.ToolAnnotations(title="Throw away", destructive_hint=True))
def throw(what: str | None = None) -> str:
    """Throw something away."""
    note("thrown")
    return f"thrown away: {what}"


@server.tool(name="strange/näme")
def strange() -> str:
    return "strange"


@server.tool()
def fail() -> str:
    raise ToolError("nothing works today")


@server.tool()
def mixed() -> list[Any]:
    return [
        "some text",
        types.ImageContent(type="image", data=PNG, mime_type="image/png"),
        types.EmbeddedResource(
            type="resource", resource=types.TextResourceContents(uri="note://1", text="a note", mime_type="text/plain")
        ),
        types.EmbeddedResource(
            type="resource", resource=types.BlobResourceContents(uri="blob://1", blob=PNG, mime_type="image/png")
        ),
        types.ResourceLink(type="resource_link", name="a link", uri="file:///a", description="to a file"),
    ]


@server.tool()
def long(count: int) -> str:
    return "x" * count


@server.tool()
async def wait() -> str:
    """Wait for a minute."""
    note("waiting")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        note("cancelled")
        raise
    return "waited"


@server.tool()
def die() -> str:
    """End the server."""
    os._exit(3)


@server.tool()
def show_environment(name: str, context: Context) -> str:
    headers = context.headers or {}
    return f"{os.environ.get(name)} {headers.get('x-key')} {Path.cwd()}"


@server.tool()
def write(path: str) -> str:
    """Write a file."""
    try:
        Path(path).write_text("written")
    except OSError as error:
        raise ToolError(str(error)) from error
    return "written"


def note(name: str) -> None:
    (FOLDER / name).touch()


def main() -> None:
    (FOLDER / "pid").write_text(str(os.getpid()))
    if TRANSPORT == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        (FOLDER / "child").write_text(str(child.pid))
    if TRANSPORT in {"stdio", "stubborn"}:
        server.run("stdio")
        while TRANSPORT == "stubborn":
            time.sleep(1)
        return
    listening = socket.create_server(("127.0.0.1", 0))
    app = server.sse_app() if TRANSPORT == "sse" else server.streamable_http_app()
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main()
