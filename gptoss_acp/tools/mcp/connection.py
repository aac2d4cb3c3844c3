"""One MCP server, by the official SDK: started or reached, asked for its tools, called, stopped.

Knows the Model Context Protocol. Knows nothing about the model, permission or the editor. The SDK is slow to import, so
this room is imported only where a session has a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
from acp.schema import HttpMcpServer, McpServerStdio, SseMcpServer
from mcp import Client, MCPError, StdioServerParameters, stdio_client, types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import ValidationError

from gptoss_acp import __version__
from gptoss_acp.errors import ToolError
from gptoss_acp.text import clip_line
from gptoss_acp.tools.call import Result
from gptoss_acp.tools.mcp import elicitation
from gptoss_acp.tools.mcp.mending import Mending
from gptoss_acp.tools.mcp.patience import Patience
from gptoss_acp.workspace import environment, process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from gptoss_acp.tools.mcp.questions import Questions

CALL_SECONDS = 600.0
"""After which a call is given up, but for those in which the user is asked something; the user can cancel it sooner."""

MOST_TOOLS = 1_000
LONGEST_ANSWER = 8_000_000
"""Characters of a call's result."""

_HTTP_SECONDS = 30.0
_LONGEST_SILENCE = 86_400.0
_LONGEST_REASON = 300
_MOST_PAGES = 20
_CANCEL_SECONDS = 0.05
_US = types.Implementation(name="gptoss-acp", version=__version__)

# They log addresses and session ids, which can be secrets.
for _library in ("mcp", "httpx2"):
    logging.getLogger(_library).setLevel(logging.WARNING)


class Connection:
    """A server that is ready.

    `tools` are those that it has listed, at most MOST_TOOLS, and `has_more` where that is not all; `unusable` are the
    names of those described otherwise than agreed.
    """

    def __init__(
        self,
        client: Client,
        mending: Mending,
        patience: Patience,
        ask: elicitation.Asking | None = None,
    ) -> None:
        self._client = client
        self._ask = ask
        self._mending = mending
        self._patience = patience
        self._changed, self._ended = asyncio.Event(), asyncio.Event()
        mending.on_change, mending.on_end = self._changed.set, self._ended.set
        self.tools: list[types.Tool] = []
        self.has_more = False

    @property
    def unusable(self) -> list[str]:
        return self._mending.unusable

    async def changed(self) -> bool:
        """Wait until the server has other tools, which are listed then, or says nothing any more; return which."""
        waiting = [asyncio.create_task(event.wait()) for event in (self._changed, self._ended)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if self._ended.is_set():
            return False
        self._changed.clear()
        await self.list_tools()
        return True

    async def list_tools(self) -> None:
        """Ask the server which tools it has now."""
        self._mending.unusable.clear()
        tools: list[types.Tool] = []
        cursor, pages = None, 0
        while self._client.server_capabilities.tools is not None:
            page = await self._client.list_tools(cursor=cursor)
            tools += page.tools
            cursor, pages = page.next_cursor, pages + 1
            if cursor is None or len(tools) >= MOST_TOOLS or pages == _MOST_PAGES:
                break
        self.tools, self.has_more = tools[:MOST_TOOLS], cursor is not None or len(tools) > MOST_TOOLS

    async def call(self, tool: str, arguments: dict[str, Any]) -> Result:
        """Call a tool. Cancelling tells the server, but does not wait for it.

        Raises:
            ConnectionError: the server has ended, can't be reached any more, or has dropped this call.
            ToolError: it took too long, refused, or answered otherwise than agreed.
        """
        try:
            async with self._patience.of(CALL_SECONDS):
                return await self._called(tool, arguments)
        except TimeoutError:
            raise ToolError(f"the MCP server did not answer within {CALL_SECONDS:g} seconds") from None
        except MCPError as error:
            if error.code == types.CONNECTION_CLOSED:
                raise ConnectionError from None
            if error.code == types.URL_ELICITATION_REQUIRED:
                raise await elicitation.show_addresses(error, self._ask) from None
            raise ToolError(f"the MCP server refused the call: {error.message}") from None
        except (RuntimeError, ValidationError) as error:
            reason = clip_line(str(error), _LONGEST_REASON)
            raise ToolError(f"the MCP server's answer is not valid: {reason}") from None

    async def _called(self, tool: str, arguments: dict[str, Any]) -> Result:
        calling = asyncio.create_task(self._client.call_tool(tool, arguments))
        try:
            return _result(await asyncio.shield(calling))
        except asyncio.CancelledError:
            calling.cancel()
            await asyncio.wait([calling], timeout=_CANCEL_SECONDS)
            raise


@contextlib.asynccontextmanager
async def connected(
    server: McpServerStdio | HttpMcpServer | SseMcpServer,
    cwd: Path,
    seconds: float,
    within: Sequence[str] = (),
    questions: Questions | None = None,
) -> AsyncIterator[Connection]:
    """Connect to a server within so many seconds; to be left by the task that entered it.

    Programs are run in `cwd`, behind the words `within`, which start them in a sandbox. What the server asks the user
    is put by `questions`; without them, the server is told that nobody can be asked.

    Raises:
        ToolError: it could not be started or reached, or has been lost.
    """
    async with contextlib.AsyncExitStack() as stack:
        complaints, patience = process.Complaints(), Patience()
        mending = Mending(modes=questions.modes if questions else ())
        try:
            with anyio.fail_after(seconds) as limit:
                if isinstance(server, McpServerStdio):
                    transport, complaints = await _program(server, cwd, within, stack)
                else:
                    transport = await _address(server, stack)
                asked = _asked(questions, patience) if questions else None
                async with Client(mending.around(transport), client_info=_US, elicitation_callback=asked) as client:
                    ask = questions.ask if questions else None
                    connection = Connection(client, mending, patience, ask)
                    await connection.list_tools()
                    limit.deadline = math.inf
                    yield connection
        except TimeoutError:
            raise ToolError(f"it did not answer within {seconds:g} seconds") from None
        except ToolError:
            raise
        except Exception as error:
            said = complaints.last_line()
            reason = _innermost(error) + (f"; the last it said: {said}" if said else "")
            raise ToolError(clip_line(reason, _LONGEST_REASON)) from error


def _asked(questions: Questions, patience: Patience) -> Any:
    async def answer(_context: Any, asked: types.ElicitRequestParams) -> types.ElicitResult | types.ErrorData:
        with patience.without_end():
            return await elicitation.answer(asked, questions.ask)

    return answer


async def _program(
    server: McpServerStdio, cwd: Path, within: Sequence[str], stack: contextlib.AsyncExitStack
) -> tuple[Any, process.Complaints]:
    found = await environment.environment() | {variable.name: variable.value for variable in server.env}
    watched = process.watched_server([server.command, *server.args], cwd, found, within)
    (program, *arguments), stderr, complaints = await stack.enter_async_context(watched)
    parameters = StdioServerParameters(
        command=program, args=arguments, env=found, cwd=cwd, encoding_error_handler="replace"
    )
    return stdio_client(parameters, errlog=stderr), complaints


async def _address(server: HttpMcpServer | SseMcpServer, stack: contextlib.AsyncExitStack) -> Any:
    headers = {header.name: header.value for header in server.headers}
    if isinstance(server, SseMcpServer):
        return sse_client(server.url, headers, timeout=_HTTP_SECONDS, sse_read_timeout=_LONGEST_SILENCE)
    timeout = httpx2.Timeout(_HTTP_SECONDS, read=_LONGEST_SILENCE)
    http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=timeout))
    return streamable_http_client(server.url, http_client=http)


def _result(answer: types.CallToolResult) -> Result:
    text = "\n".join(map(_text, answer.content))
    if not answer.content and answer.structured_content is not None:
        text = json.dumps(answer.structured_content, ensure_ascii=False)
    if len(text) > LONGEST_ANSWER:
        raise ToolError(f"the MCP server's answer is too large: {len(text):,} characters; ask for less at once")
    if answer.is_error:
        return Result(f"Error: {text or 'the tool failed and did not say why.'}", failed=True)
    return Result(text or "Done; there is nothing to show.")


def _text(block: types.ContentBlock) -> str:
    """Return what the model can read of a result: what is no text is described."""
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent() | types.AudioContent():
            return f"[{block.type}, {block.mime_type}, {_size(block.data)}; it can't be shown here]"
        case types.ResourceLink():
            return f"[{block.title or block.name}]({block.uri}) {block.description or ''}".rstrip()
        case types.EmbeddedResource():
            return _resource(block.resource)


def _resource(resource: types.TextResourceContents | types.BlobResourceContents) -> str:
    if isinstance(resource, types.TextResourceContents):
        return f"{resource.uri}\n{resource.text}"
    return f"[{resource.uri}, {resource.mime_type or 'no text'}, {_size(resource.blob)}; it can't be shown here]"


def _size(base64: str) -> str:
    return f"{len(base64) * 3 // 4} bytes"


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
