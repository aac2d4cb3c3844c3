"""Requests of ours to the peer: answered once, cancelled cleanly, never in the way of the end."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from gptoss_acp.rpc import Connection, PeerGoneError, RpcError


class Peer:
    """Our end of two pipes, whose other end is a Connection."""

    def __init__(self) -> None:
        self._read, to_peer = os.pipe()
        from_peer, self._write = os.pipe()
        self._buffer = b""
        self.connection = Connection(from_peer, to_peer, requests={}, notifications={})
        self.connection.start()

    async def receive(self) -> Any:
        while b"\n" not in self._buffer:
            self._buffer += await asyncio.to_thread(os.read, self._read, 4096)
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def send(self, **message: Any) -> None:
        os.write(self._write, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def close(self) -> None:
        if self._write >= 0:
            os.close(self._write)
        self._write = -1


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    opened: list[Peer] = []
    yield opened
    for peer in opened:
        peer.close()


async def ask(peers: list[Peer]) -> tuple[Peer, asyncio.Task[Any], Any]:
    peer = Peer()
    peers.append(peer)
    asking = asyncio.create_task(peer.connection.request("fs/x", {"path": "a"}))
    return peer, asking, await peer.receive()


async def test_an_answer_reaches_who_asked(peers: list[Peer]) -> None:
    peer, asking, message = await ask(peers)
    assert message["method"] == "fs/x"
    assert message["params"] == {"path": "a"}
    second = asyncio.create_task(peer.connection.request("fs/y", {}))
    other = await peer.receive()
    assert other["id"] != message["id"]
    peer.send(id=other["id"], result=None)
    peer.send(id=message["id"], result={"content": "x"})
    assert await second is None
    assert await asking == {"content": "x"}


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        ({"code": -32002, "message": "gone"}, -32002, "gone"),
        ("odd", -32603, "odd"),
        ({"code": "x"}, -32603, "{'code': 'x'}"),
    ],
)
async def test_an_error_of_any_shape_is_raised(error: Any, code: int, text: str, peers: list[Peer]) -> None:
    peer, asking, message = await ask(peers)
    peer.send(id=message["id"], error=error)
    with pytest.raises(RpcError) as caught:
        await asking
    assert (caught.value.code, caught.value.message) == (code, text)


async def test_answers_to_nothing_are_ignored(peers: list[Peer]) -> None:
    peer, asking, message = await ask(peers)
    for identifier in (None, "1", 77, True, [message["id"]]):
        peer.send(id=identifier, result="wrong")
    peer.send(id=message["id"], result="right")
    peer.send(id=message["id"], result="twice")
    assert await asking == "right"


async def test_cancelling_tells_the_peer_and_waits_for_nothing(peers: list[Peer]) -> None:
    peer, asking, message = await ask(peers)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    assert await peer.receive() == {
        "jsonrpc": "2.0",
        "method": "$/cancel_request",
        "params": {"requestId": message["id"]},
    }
    peer.send(id=message["id"], result="late")
    again = asyncio.create_task(peer.connection.request("fs/z", {}))
    peer.send(id=(await peer.receive())["id"], result="new")
    assert await again == "new"


async def test_a_peer_that_goes_leaves_nobody_waiting(peers: list[Peer]) -> None:
    peer, asking, _ = await ask(peers)
    peer.close()
    with pytest.raises(PeerGoneError):
        await asking
    with pytest.raises(PeerGoneError):
        await peer.connection.request("fs/x", {})


async def test_a_request_for_a_path_that_json_can_not_hold_is_not_sent_for_another(peers: list[Peer]) -> None:
    peer = Peer()
    peers.append(peer)
    with pytest.raises(RpcError, match="JSON"):
        await peer.connection.request("fs/write_text_file", {"path": os.fsdecode(b"/caf\xe9"), "content": ""})
    asked = asyncio.create_task(peer.connection.request("next", {}))
    assert (await peer.receive())["method"] == "next"
    asked.cancel()
