"""The other end of a connection, over real descriptors of every kind.

Knows lines of JSON. Knows nothing about what a method means.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import IO, Any

from gptoss_acp import rpc
from gptoss_acp.rpc import Connection, Handler
from tests.support.agent_process import line_of, request
from tests.support.waiting import settled


class Peer:
    """The other end of a connection: raw bytes out, decoded lines in, reading only once asked to."""

    def __init__(self, connection: Connection, send: IO[bytes], receive: IO[bytes]) -> None:
        self.connection = connection
        self.send_file = send
        self.receive_file = receive
        self._reader: asyncio.StreamReader | None = None
        self._transport: asyncio.ReadTransport | None = None

    async def send(self, content: bytes) -> None:
        await asyncio.to_thread(self._write, content)

    async def receive_line(self) -> bytes:
        if self._reader is None:
            reader = self._reader = asyncio.StreamReader(limit=2**27)
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), self.receive_file
            )
        return await asyncio.wait_for(self._reader.readline(), 10)

    async def fall_behind(self) -> None:
        """Read nothing until what we are sent no longer fits between us."""
        written = [self.connection._write_fd]
        await settled(lambda: not select.select([], written, [], 0)[1])

    async def receive(self) -> Any:
        return json.loads(await self.receive_line())

    async def ask(self, method: str, params: Any = None, identifier: Any = 1) -> Any:
        await self.send(line_of(request(method, params, identifier)))
        return await self.receive()

    async def answer(self, identifier: Any, **outcome: Any) -> None:
        """Answer a request with its `result` or its `error`."""
        await self.send(line_of({"jsonrpc": "2.0", "id": identifier, **outcome}))

    async def error_code(self, line: bytes) -> int:
        """Send a line that is refused without an id; return the error's code."""
        await self.send(line)
        answer = await self.receive()
        assert answer["id"] is None
        return int(answer["error"]["code"])

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self.receive_file.close()
        self.send_file.close()

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self.send_file.write(rest) :]


Ends = tuple[int, int, IO[bytes], IO[bytes]]


def pipes() -> Ends:
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    return theirs_in, theirs_out, os.fdopen(ours_out, "wb", 0), os.fdopen(ours_in, "rb", 0)


def nonblocking_pipes() -> Ends:
    ends = pipes()
    os.set_blocking(ends[0], False)
    os.set_blocking(ends[1], False)
    return ends


def sockets() -> Ends:
    ours, theirs = socket.socketpair()
    descriptor, ours_out = theirs.detach(), ours.detach()
    return descriptor, descriptor, os.fdopen(ours_out, "wb", 0), os.fdopen(os.dup(ours_out), "rb", 0)


def nonblocking_sockets() -> Ends:
    ends = sockets()
    os.set_blocking(ends[0], False)
    return ends


async def echo(params: Any) -> Any:
    return params


@asynccontextmanager
async def connected(
    requests: Mapping[str, Handler] | None = None,
    notifications: Mapping[str, Handler] | None = None,
    *,
    ends: Callable[[], Ends] = pipes,
    trace: rpc.Trace | None = None,
) -> AsyncIterator[Peer]:
    read_fd, write_fd, send, receive = ends()
    connection = Connection(
        read_fd, write_fd, requests={"echo": echo, **(requests or {})}, notifications=notifications or {}, trace=trace
    )
    connection.start()
    peer = Peer(connection, send, receive)
    try:
        yield peer
    finally:
        peer.close()
        await asyncio.wait_for(connection.wait_closed(), 5)
