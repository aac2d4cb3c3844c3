"""A peer that does not read: nothing is lost or reordered, and nobody fills the memory for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gptoss_acp import rpc
from tests.support.agent_process import line_of, request
from tests.support.rpc_peer import connected
from tests.support.waiting import settled

METHOD = "text"


def frame(text: str) -> dict[str, Any]:
    return {"text": text}


def keyed_frame(key: str) -> rpc.Frame:
    return lambda text: {"key": key, "text": text}


async def test_a_slow_reader_gets_fewer_chunks_and_the_whole_text() -> None:
    words = [f"word{number} " for number in range(20_000)]
    async with connected() as peer:
        for word in words:
            peer.connection.notify_text(METHOD, "a", word, frame)
        peer.connection.notify("end", {})
        await peer.fall_behind()
        texts: list[str] = []
        while (message := await peer.receive())["method"] == METHOD:
            texts.append(message["params"]["text"])
        assert "".join(texts) == "".join(words)
        assert len(texts) < len(words)


async def test_chunks_of_one_message_are_never_joined_over_anything_else() -> None:
    sent: list[tuple[str, str]] = []
    async with connected() as peer:
        for number in range(3000):
            key = f"message-{number // 100}"
            peer.connection.notify_text(METHOD, key, f"{number} ", keyed_frame(key))
            sent.append((key, f"{number} "))
            if number % 50 == 49:
                peer.connection.notify(METHOD, {"key": "usage", "text": f"{number}"})
                sent.append(("usage", f"{number}"))
        peer.connection.notify("end", {})
        await peer.fall_behind()
        received: list[tuple[str, str]] = []
        while (message := await peer.receive())["method"] == METHOD:
            received.append((message["params"]["key"], message["params"]["text"]))
    assert runs(received) == runs(sent)
    assert len(received) < len(sent)


def runs(messages: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join neighbours of one key."""
    joined: list[tuple[str, str]] = []
    for key, text in messages:
        if joined and joined[-1][0] == key:
            joined[-1] = (key, joined[-1][1] + text)
        else:
            joined.append((key, text))
    return joined


async def test_a_sender_that_drains_waits_for_the_reader_and_loses_nothing() -> None:
    total = 20_000
    sent = 0

    async with connected() as peer:

        async def send_all() -> None:
            nonlocal sent
            for number in range(total):
                peer.connection.notify_text(METHOD, "a", f"{number} ", frame)
                sent += 1
                if peer.connection.congested:
                    await peer.connection.drain()

        sending = asyncio.create_task(send_all())
        await settled(lambda: peer.connection.congested)
        await peer.fall_behind()
        assert 0 < sent < total / 4
        stuck_at = sent
        await asyncio.sleep(0.1)  # in which nothing may come
        assert sent == stuck_at

        text = ""
        expected = "".join(f"{number} " for number in range(total))
        while len(text) < len(expected):
            text += (await peer.receive())["params"]["text"]
        assert text == expected
        await asyncio.wait_for(sending, 5)
        await asyncio.wait_for(peer.connection.drain(), 5)
        assert not peer.connection.congested


async def test_answers_wait_behind_the_text_that_came_before_them() -> None:
    async def speak(_params: Any) -> str:
        for _ in range(5000):
            peer.connection.notify_text(METHOD, "a", "x" * 50, frame)
        return "spoken"

    async with connected({"speak": speak}) as peer:
        await peer.send(line_of(request("speak", None, 1)))
        heard = 0
        while "method" in (message := await peer.receive()):
            heard += len(message["params"]["text"])
        assert message["result"] == "spoken"
        assert heard == 250_000


async def test_chunks_are_joined_only_as_far_as_a_line_may_be_long() -> None:
    text = "\0" * 1000  # six bytes each, as JSON
    async with connected() as peer:
        for _ in range(400):
            peer.connection.notify_text(METHOD, "a", text, frame)
        await peer.fall_behind()
        lengths: list[int] = []
        while sum(lengths) < 400 * len(text):
            line = await peer.receive_line()
            assert len(line) < rpc.LONGEST_LINE_OUT
            lengths.append(len(json.loads(line)["params"]["text"]))
    assert max(lengths) == rpc.LONGEST_TEXT


@pytest.mark.parametrize("character", ["x", "\0", "☃", "🎈", '"'])
async def test_no_text_makes_a_line_too_long_for_older_clients(character: str) -> None:
    text = character * 25_000
    async with connected() as peer:
        peer.connection.notify_text(METHOD, "a", text, frame)
        received = ""
        while len(received) < len(text):
            line = await peer.receive_line()
            assert len(line) < rpc.LONGEST_LINE_OUT
            received += json.loads(line)["params"]["text"]
        assert received == text


async def test_who_asks_without_end_and_does_not_listen_is_not_read() -> None:
    question = line_of(request("m" * 90, None, "i" * 900))
    sent = 0
    async with connected() as peer:

        async def ask() -> None:
            nonlocal sent
            for _ in range(50):
                await peer.send(question * 100)
                sent += 100

        asking = asyncio.create_task(ask())
        await settled(lambda: peer.connection._unsent_answers > rpc.UNSENT_HIGH_WATER)
        await asyncio.sleep(0.2)  # in which nothing more may be taken than what had been read already
        assert peer.connection._unsent_answers < rpc.UNSENT_HIGH_WATER + 2 * rpc.UNHANDLED_MESSAGES * len(question)
        assert sent < 4_000
        for _ in range(5_000):
            assert (await peer.receive())["error"]["code"] in {rpc.METHOD_NOT_FOUND, rpc.INVALID_REQUEST}
        await asyncio.wait_for(asking, 5)
