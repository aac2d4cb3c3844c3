"""Requests of ours to the peer: answered once, cancelled cleanly, never in the way of the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gptoss_acp.rpc import PeerGoneError, RpcError
from tests.support.rpc_peer import Peer, connected


@asynccontextmanager
async def asked() -> AsyncIterator[tuple[Peer, asyncio.Task[Any], Any]]:
    """Ask the peer for something; give the request as the peer has it, too."""
    async with connected() as peer:
        asking = asyncio.create_task(peer.connection.request("fs/x", {"path": "a"}))
        yield peer, asking, await peer.receive()


async def test_an_answer_reaches_who_asked() -> None:
    async with asked() as (peer, asking, message):
        assert message["method"] == "fs/x"
        assert message["params"] == {"path": "a"}
        second = asyncio.create_task(peer.connection.request("fs/y", {}))
        other = await peer.receive()
        assert other["id"] != message["id"]
        await peer.answer(other["id"], result=None)
        await peer.answer(message["id"], result={"content": "x"})
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
async def test_an_error_of_any_shape_is_raised(error: Any, code: int, text: str) -> None:
    async with asked() as (peer, asking, message):
        await peer.answer(message["id"], error=error)
        with pytest.raises(RpcError) as caught:
            await asking
        assert (caught.value.code, caught.value.message) == (code, text)


async def test_an_error_as_deep_as_json_can_be_ends_its_request() -> None:
    async with asked() as (peer, asking, message):
        deep = "[" * 1000 + "]" * 1000
        await peer.send(f'{{"jsonrpc": "2.0", "id": {message["id"]}, "error": {deep}}}\n'.encode())
        with pytest.raises(RpcError, match="nested"):
            await asyncio.wait_for(asking, 5)


async def test_answers_to_nothing_are_ignored() -> None:
    async with asked() as (peer, asking, message):
        for identifier in (None, "1", 77, True, [message["id"]]):
            await peer.answer(identifier, result="wrong")
        await peer.answer(message["id"], result="right")
        await peer.answer(message["id"], result="twice")
        assert await asking == "right"


async def test_cancelling_tells_the_peer_and_waits_for_nothing() -> None:
    async with asked() as (peer, asking, message):
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert await peer.receive() == {
            "jsonrpc": "2.0",
            "method": "$/cancel_request",
            "params": {"requestId": message["id"]},
        }
        await peer.answer(message["id"], result="late")
        again = asyncio.create_task(peer.connection.request("fs/z", {}))
        await peer.answer((await peer.receive())["id"], result="new")
        assert await again == "new"


async def test_a_peer_that_goes_leaves_nobody_waiting() -> None:
    async with asked() as (peer, asking, _):
        peer.close()
        with pytest.raises(PeerGoneError):
            await asking
        with pytest.raises(PeerGoneError):
            await peer.connection.request("fs/x", {})


async def test_a_request_for_a_path_that_json_can_not_hold_is_not_sent_for_another() -> None:
    async with connected() as peer:
        with pytest.raises(RpcError, match="JSON"):
            await peer.connection.request("fs/write_text_file", {"path": os.fsdecode(b"/caf\xe9"), "content": ""})
        asking = asyncio.create_task(peer.connection.request("next", {}))
        assert (await peer.receive())["method"] == "next"
        asking.cancel()
