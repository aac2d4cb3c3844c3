"""A real MCP server, by the SDK: `python -m tests.support.mcp_server stdio FOLDER`, or `http FOLDER`, or `sse FOLDER`.

It notes in FOLDER what happens to it; over a network it says its port on stdout. `stubborn` is stdio that ends
neither at the end of its input nor when asked to, `older` is stdio that speaks MCP as it was before 2026.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from mcp import MCPError, UrlElicitationRequiredError, types
from mcp.server.elicitation import ElicitationResult
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel, Field

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


class Table(BaseModel):
    people: int = Field(description="How many")
    outside: bool = False


async def table() -> Elicit[Table]:
    return Elicit("For how many\u202e?", Table)


@server.tool()
async def book(answer: Annotated[ElicitationResult[Table], Resolve(table)]) -> str:
    """Book a table, asking for how many."""
    return f"{answer.action} {answer.data.model_dump() if answer.action == 'accept' else ''}".strip()


@server.tool()
async def sign_in(url: str, context: Context, times: int = 1, message: str = "Sign in there") -> str:
    """Have the user visit an address, asked so many times at once."""
    return "\n".join(sorted(await asyncio.gather(*[visited(url, context, message) for _ in range(times)])))


async def visited(url: str, context: Context, message: str) -> str:
    try:
        return (await context.elicit_url(message, url, "1")).action
    except MCPError as error:
        return f"not asked: {error.message}"


@server.tool()
def pay(urls: list[str]) -> str:
    """Pay, once the user has visited addresses."""
    note("paying")
    raise UrlElicitationRequiredError(
        [types.ElicitRequestURLParams(message="Sign in there", url=url, elicitation_id=url) for url in urls]
    )


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


@server.tool()
async def show_modes(context: Context) -> str:
    """Say in which modes the client can be asked."""
    client = context.session.client_capabilities
    return str(sorted(client.elicitation.model_dump(exclude_none=True) if client and client.elicitation else {}))


def refuse_to_be_discovered() -> None:
    """Answer the first line as a server of MCP before 2026 does, in whose place the SDK would be a newer one from then on."""
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1)
    asked = json.loads(line)
    assert asked["method"] == "server/discover"
    error = {"code": types.METHOD_NOT_FOUND, "message": "Method not found"}
    answer = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error})
    os.write(1, f"{answer}\n".encode())


def note(name: str) -> None:
    (FOLDER / name).touch()


def main() -> None:
    (FOLDER / "pid").write_text(str(os.getpid()))
    if TRANSPORT == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        (FOLDER / "child").write_text(str(child.pid))
    if TRANSPORT == "older":
        refuse_to_be_discovered()
    if TRANSPORT in {"stdio", "older", "stubborn"}:
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
