"""What an MCP server sends, mended so that one bad piece costs that piece: between the SDK's transport and its client.

Knows JSON-RPC and the shapes of `tools/list` and `tools/call`. Knows nothing about sessions.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import anyio
import jsonschema
import mcp_types
import referencing
import referencing.exceptions
from mcp.shared.message import SessionMessage
from mcp_types.methods import is_input_required
from pydantic import TypeAdapter, ValidationError

from gptoss_acp.rpc import without_half_pairs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from mcp.client._transport import ReadStream, TransportStreams, WriteStream

_UNREADABLE = -32700
_ID = re.compile(r'"id"\s*:\s*(?:"([^"\\]{1,100})"|(\d{1,15}))')
_CONTENT: TypeAdapter[Any] = TypeAdapter(mcp_types.ContentBlock)
_LONGEST_NAME = 100

Stream = TypeVar("Stream", bound="ReadStream[SessionMessage | Exception] | WriteStream[SessionMessage]")


def _nothing() -> None:
    pass


@dataclass
class Mending:
    """What goes over one connection. `unusable` are the names of tools that are described otherwise than agreed.

    Of elicitations the server is told that the client has those `modes`, where it is told of any: the SDK declares all.
    `on_change` is called when the server says that its tools are others now, `on_end` when it says nothing any more.
    """

    on_change: Callable[[], None] = _nothing
    on_end: Callable[[], None] = _nothing
    modes: Collection[str] = ()
    unusable: list[str] = field(default_factory=list)
    _asked: dict[str, tuple[str, str]] = field(default_factory=dict)
    _outputs: dict[str, Any] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def around(self, transport: AbstractAsyncContextManager[TransportStreams]) -> AsyncIterator[TransportStreams]:
        """Enter a transport, and give its streams with what comes mended."""
        async with transport as (read, write):
            yield _Read(read, self), _Write(write, self)

    def note(self, message: SessionMessage) -> None:
        """Note what is asked of the server, and declare to it what the client can do."""
        asked = message.message
        if isinstance(asked, mcp_types.JSONRPCRequest):
            params = asked.params or {}
            self._asked[str(asked.id)] = asked.method, str(params.get("name", ""))
            # Once at the beginning, or, since MCP 2026, with every request.
            for declared in (params, params.get("_meta") or {}):
                for name in ("capabilities", mcp_types.CLIENT_CAPABILITIES_META_KEY):
                    self._declare_modes(declared.get(name))

    def mend(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        """Return what the client shall take a message for, or a line that is none."""
        if isinstance(item, Exception):
            return self._mend_line(item)
        message = item.message
        if isinstance(message, mcp_types.JSONRPCNotification) and message.method == "notifications/tools/list_changed":
            self.on_change()
        elif isinstance(message, mcp_types.JSONRPCError):
            self._asked.pop(str(message.id), None)
        elif isinstance(message, mcp_types.JSONRPCResponse):
            method, tool = self._asked.pop(str(message.id), ("", ""))
            if method == "tools/list":
                message.result = self._mend_tools(message.result)
            elif method == "tools/call" and not is_input_required(message.result):
                message.result = self._mend_answer(message.result, self._outputs.get(tool))
        return item

    def _declare_modes(self, capabilities: Any) -> None:
        if isinstance(capabilities, dict) and "elicitation" in capabilities:
            capabilities["elicitation"] = {mode: {} for mode in self.modes}

    def _mend_line(self, error: Exception) -> SessionMessage | Exception:
        line = _line_of(error)
        with contextlib.suppress(ValueError, RecursionError):
            told = without_half_pairs(line.encode())
            return self.mend(SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(told, by_name=False)))
        for text, number in _ID.findall(line):
            identifier = text or int(number)
            if '"jsonrpc"' in line and self._asked.pop(str(identifier), ("", ""))[0]:
                data = mcp_types.ErrorData(code=_UNREADABLE, message="its answer is no valid JSON")
                return SessionMessage(mcp_types.JSONRPCError(jsonrpc="2.0", id=identifier, error=data))
        return error  # a line that is about something else, which many servers print

    def _mend_tools(self, result: dict[str, Any]) -> dict[str, Any]:
        tools = result.get("tools")
        if not isinstance(tools, list):
            return result
        usable = []
        for tool in tools:
            try:
                mcp_types.Tool.model_validate(tool)
            except ValidationError:
                name = tool.get("name") if isinstance(tool, dict) else None
                self.unusable.append(str(name or "one without a name")[:_LONGEST_NAME])
                continue
            # What it answers is shown as it is; the client would throw away what does not fit.
            self._outputs[tool["name"]] = tool.get("outputSchema")
            usable.append({name: value for name, value in tool.items() if name != "outputSchema"})
        return result | {"tools": usable}

    def _mend_answer(self, result: dict[str, Any], output: Any) -> dict[str, Any]:
        content = result.get("content", [])
        if not isinstance(content, list):
            content = [{"type": "text", "text": json.dumps(content)}]
        content = [_as_block(block) for block in content]
        if output is not None and not result.get("isError") and not _fits(result.get("structuredContent"), output):
            note = "(the structured part of this answer is missing or not as the tool's description says)"
            content.append({"type": "text", "text": note})
        if not isinstance(result.get("structuredContent", {}), dict):
            result = {name: value for name, value in result.items() if name != "structuredContent"}
        return result | {"content": content}


def _line_of(error: Exception) -> str:
    if isinstance(error, ValidationError):
        for detail in error.errors(include_url=False, include_context=False):
            if isinstance(detail["input"], str):
                return detail["input"]
            return json.dumps(detail["input"], default=str)
    return ""


def _as_block(block: Any) -> Any:
    try:
        _CONTENT.validate_python(block)
    except ValidationError:
        kind = block.get("type") if isinstance(block, dict) else type(block).__name__
        return {"type": "text", "text": f"[{str(kind)[:_LONGEST_NAME]}; it can't be shown here]"}
    return block


def _fits(value: Any, schema: Any) -> bool:
    # With a registry of its own it asks nobody for what a stranger's schema refers to.
    validator = jsonschema.validators.validator_for(schema)(schema, registry=referencing.Registry())
    try:
        return bool(validator.is_valid(value))
    except (referencing.exceptions.Unresolvable, jsonschema.SchemaError, TypeError, re.error, RecursionError):
        return True  # it says nothing


class _Passing(Generic[Stream]):
    """A stream of the transport's, by which messages go through a mending."""

    def __init__(self, inner: Stream, mending: Mending) -> None:
        self._inner = inner
        self._mending = mending

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._inner.__aexit__(kind, error, trace)


class _Read(_Passing["ReadStream[SessionMessage | Exception]"]):
    """What a server sends, mended."""

    async def receive(self) -> SessionMessage | Exception:
        try:
            return self._mending.mend(await self._inner.receive())
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._mending.on_end()
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


class _Write(_Passing["WriteStream[SessionMessage]"]):
    """What is sent to a server, noted."""

    async def send(self, item: SessionMessage, /) -> None:
        self._mending.note(item)
        await self._inner.send(item)
