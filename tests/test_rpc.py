"""The connection in this process, over real descriptors: what a peer may do to it, and what it must never do."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import IO, Any

import pytest

from gptoss_acp import rpc
from gptoss_acp.rpc import Connection, Handler, RpcError
from tests.support.agent_process import line_of, request
from tests.support.waiting import all_has_run, settled

METHOD = "text"


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


def frame(text: str) -> dict[str, Any]:
    return {"text": text}


def keyed_frame(key: str) -> rpc.Frame:
    return lambda text: {"key": key, "text": text}


# Framing


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
async def test_messages_cut_anywhere_arrive_whole(size: int) -> None:
    sent = [{"text": "naïve ☃ 🎈 \n\t\\ \u2028"}, ["x" * 100], "last"]
    lines = b"".join(line_of(request("echo", params, number)) for number, params in enumerate(sent))
    async with connected() as peer:
        for start in range(0, len(lines), size):
            await peer.send(lines[start : start + size])
        assert [(await peer.receive())["result"] for _ in sent] == sent


async def test_utf8_cut_inside_a_character_arrives_whole() -> None:
    line = json.dumps(request("echo", "☃🎈é", 1), ensure_ascii=False).encode() + b"\n"
    async with connected() as peer:
        for byte in line:
            await peer.send(bytes([byte]))
        assert (await peer.receive())["result"] == "☃🎈é"


async def test_empty_lines_and_windows_line_ends_are_no_messages() -> None:
    async with connected() as peer:
        await peer.send(b"\n\r\n   \n" + line_of(request("echo", 1, 1)).replace(b"\n", b"\r\n"))
        assert (await peer.receive())["result"] == 1


async def test_the_last_line_needs_no_line_end() -> None:
    async with connected() as peer:
        await peer.send(line_of(request("echo", 1, 1)).rstrip())
        peer.send_file.close()
        assert (await peer.receive())["result"] == 1


async def test_a_line_of_20_mb_is_one_message() -> None:
    async def length(params: Any) -> int:
        return len(params)

    async with connected({"length": length}) as peer:
        assert (await peer.ask("length", "x" * 20_000_000))["result"] == 20_000_000


async def test_a_line_beyond_the_limit_is_refused_and_the_next_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting = line_of(request("echo", "x" * 1000, 1))
    monkeypatch.setattr(rpc, "LONGEST_LINE_IN", len(fitting) - 1)
    async with connected() as peer:
        assert await peer.error_code(line_of(request("echo", "x" * 1001, 1))) == rpc.INVALID_REQUEST
        assert await peer.error_code(b"x" * 1_000_000 + b"\n") == rpc.INVALID_REQUEST
        await peer.send(fitting)
        assert (await peer.receive())["result"] == "x" * 1000


@pytest.mark.parametrize("ends", [pipes, nonblocking_pipes, sockets, nonblocking_sockets])
async def test_every_kind_of_descriptor_carries_large_messages_both_ways(ends: Callable[[], Ends]) -> None:
    text = "x" * 3_000_000
    async with connected(ends=ends) as peer:
        for number in range(3):
            assert (await peer.ask("echo", text, number))["result"] == text


async def test_a_flood_of_notifications_is_handled_in_order() -> None:
    heard: list[int] = []

    async def note(params: Any) -> None:
        heard.append(params)

    async with connected(notifications={"note": note}) as peer:
        await peer.send(b"".join(line_of({"jsonrpc": "2.0", "method": "note", "params": n}) for n in range(10_000)))
        await peer.ask("echo")
        assert heard == list(range(10_000))


# What is no request


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"{",
        b'{"jsonrpc":"2.0","id":1,"method":"echo"',
        b'{"jsonrpc":"2.0","id":1,"method":"echo"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"echo","params":NaN}',
        b'{"jsonrpc":"2.0","id":1,"method":"echo","params":"\xff\xfe"}',
        b'{"jsonrpc":"2.0","id":1,"method":"echo","params":"\xed\xa0\x80"}',
        b'{"jsonrpc":"2.0","id":1,"method":"echo","params":"\\ud800"}',
        b"\x00",
        b"[" * 100_000,
    ],
)
async def test_bad_json_is_a_parse_error_without_an_id(line: bytes) -> None:
    async with connected() as peer:
        assert await peer.error_code(line + b"\n") == rpc.PARSE_ERROR
        assert (await peer.ask("echo", "on"))["result"] == "on"


@pytest.mark.parametrize(
    "line", [b"1", b"-0.5", b'"text"', b"true", b"null", b"[]", b'[{"jsonrpc":"2.0","id":1,"method":"echo"}]', b"{}"]
)
async def test_json_that_is_no_request_is_an_invalid_request(line: bytes) -> None:
    async with connected() as peer:
        assert await peer.error_code(line + b"\n") == rpc.INVALID_REQUEST
        assert (await peer.ask("echo", "on"))["result"] == "on"


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 7},
        {"jsonrpc": "2.0", "id": 7, "method": 5},
        {"jsonrpc": "2.0", "id": 7, "method": None},
        {"jsonrpc": "1.0", "id": 7, "method": "echo"},
        {"id": 7, "method": "echo"},
    ],
)
async def test_an_invalid_request_is_answered_with_its_id(message: dict[str, Any]) -> None:
    async with connected() as peer:
        await peer.send(line_of(message))
        answer = await peer.receive()
        assert (answer["id"], answer["error"]["code"]) == (7, rpc.INVALID_REQUEST)


# Ids


@pytest.mark.parametrize("identifier", [0, -1, 1.5, 2**53, 2**63, "", "0", "ü" * 100, None])
async def test_every_id_comes_back_as_it_was(identifier: Any) -> None:
    async with connected() as peer:
        answer = await peer.ask("echo", "x", identifier)
        assert answer == {"jsonrpc": "2.0", "id": identifier, "result": "x"}
        assert type(answer["id"]) is type(identifier)


@pytest.mark.parametrize("identifier", [True, [1], {"a": 1}, 2**64, -(2**64), 1e300])
async def test_an_id_that_could_not_go_back_as_it_came_is_an_invalid_request(identifier: Any) -> None:
    async with connected() as peer:
        assert await peer.error_code(line_of(request("echo", 1, identifier))) == rpc.INVALID_REQUEST


async def test_deep_nesting_is_answered() -> None:
    async with connected() as peer:
        await peer.send(b'{"jsonrpc":"2.0","id":1.5,"method":"echo","params":' + b"[" * 1000 + b"]" * 1000 + b"}\n")
        assert (await peer.receive())["id"] == 1.5
        assert (await peer.ask("echo", "on"))["result"] == "on"


async def test_half_of_a_surrogate_pair_is_replaced() -> None:
    async def name(_params: Any) -> str:
        return os.fsdecode(b"caf\xe9")

    async with connected({"name": name}) as peer:
        assert (await peer.ask("name", None))["result"] == "caf?"


async def test_an_id_in_use_is_refused_and_free_again_after_its_answer() -> None:
    go = asyncio.Event()

    async def wait(_params: Any) -> str:
        await go.wait()
        return "waited"

    async with connected({"wait": wait}) as peer:
        await peer.send(line_of(request("wait", None, "a")))
        refused = await peer.ask("echo", None, "a")
        assert (refused["id"], refused["error"]["code"]) == ("a", rpc.INVALID_REQUEST)
        go.set()
        assert (await peer.receive())["result"] == "waited"
        assert (await peer.ask("echo", "again", "a"))["result"] == "again"


@pytest.mark.parametrize(
    "response",
    [
        {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "what?"}},
        {"jsonrpc": "2.0", "id": 5, "result": {}},
        {"jsonrpc": "2.0", "id": 5, "result": None},
    ],
)
async def test_a_response_to_no_request_of_ours_is_not_answered(response: dict[str, Any]) -> None:
    async with connected() as peer:
        await peer.send(line_of(response))
        assert (await peer.ask("echo", "first", 9)) == {"jsonrpc": "2.0", "id": 9, "result": "first"}


# Answers


async def test_an_unknown_method_is_not_found() -> None:
    async with connected() as peer:
        answer = await peer.ask("_vendor/" + "x" * 1_000_000)
        assert (answer["id"], answer["error"]["code"]) == (1, rpc.METHOD_NOT_FOUND)
        assert len(answer["error"]["message"]) < 200


async def test_unknown_and_failing_notifications_are_not_answered() -> None:
    async def fail(_params: Any) -> None:
        raise ValueError("broken")

    async def refuse(_params: Any) -> None:
        raise RpcError(rpc.INVALID_PARAMS, "no")

    async with connected(notifications={"fail": fail, "refuse": refuse}) as peer:
        for method in ("unknown", "$/unknown", "fail", "refuse"):
            await peer.send(line_of({"jsonrpc": "2.0", "method": method}))
        assert (await peer.ask("echo", "first"))["result"] == "first"


async def test_a_failing_handler_tells_the_peer_nothing_of_its_inside() -> None:
    async def fail(_params: Any) -> None:
        raise ValueError("the secret")

    async with connected({"fail": fail}) as peer:
        await peer.send(line_of(request("fail", None, 1)))
        line = await peer.receive_line()
        assert json.loads(line)["error"]["code"] == rpc.INTERNAL_ERROR
        assert b"secret" not in line
        assert b"Traceback" not in line
        assert (await peer.ask("echo", "on"))["result"] == "on"


async def test_a_result_that_is_no_json_is_still_answered() -> None:
    async def answer(_params: Any) -> Any:
        return object()

    async with connected({"answer": answer}) as peer:
        assert (await peer.ask("answer"))["error"]["code"] == rpc.INTERNAL_ERROR


async def test_an_error_carries_its_code_message_and_data() -> None:
    async def refuse(_params: Any) -> None:
        raise RpcError(-32002, "There is no session", {"id": 3})

    async with connected({"refuse": refuse}) as peer:
        error = (await peer.ask("refuse"))["error"]
        assert error == {"code": -32002, "message": "There is no session", "data": {"id": 3}}


async def test_requests_run_side_by_side() -> None:
    go = asyncio.Event()

    async def wait(_params: Any) -> str:
        await go.wait()
        return "waited"

    async with connected({"wait": wait}) as peer:
        await peer.send(line_of(request("wait", None, 1)))
        assert (await peer.ask("echo", "quick", 2))["id"] == 2
        go.set()
        assert (await peer.receive())["id"] == 1


# Cancelling a request


def cancel_line(identifier: Any) -> bytes:
    return line_of({"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": identifier}})


@pytest.mark.parametrize("identifier", [0, "a"])
async def test_a_cancelled_request_is_answered_once(identifier: Any) -> None:
    async def wait(_params: Any) -> None:
        await asyncio.Event().wait()

    async with connected({"wait": wait}) as peer:
        # In one write: the cancel is there before the handler has begun.
        await peer.send(line_of(request("wait", None, identifier)) + cancel_line(identifier) * 3)
        answer = await peer.receive()
        assert (answer["id"], answer["error"]["code"]) == (identifier, rpc.REQUEST_CANCELLED)
        await peer.send(cancel_line(identifier))
        assert (await peer.ask("echo", "next", identifier))["result"] == "next"


async def test_a_cancel_that_comes_too_late_changes_nothing() -> None:
    async def finish_anyway(_params: Any) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    async with connected({"finish": finish_anyway}) as peer:
        await peer.send(line_of(request("finish", None, 1)) + cancel_line(1))
        assert (await peer.receive())["result"] == "done all the same"
        assert (await peer.ask("echo", "next", 2))["result"] == "next"


@pytest.mark.parametrize("params", [None, [], {}, {"requestId": None}, {"requestId": [1]}, {"requestId": 99}])
async def test_a_cancel_of_nothing_is_ignored(params: Any) -> None:
    async with connected() as peer:
        await peer.send(line_of({"jsonrpc": "2.0", "method": "$/cancel_request", "params": params}))
        assert (await peer.ask("echo", "on"))["result"] == "on"


# A slow reader


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


# The end


@pytest.mark.parametrize("ends", [pipes, sockets])
async def test_the_connection_is_closed_when_the_peer_stops_writing(ends: Callable[[], Ends]) -> None:
    async with connected(ends=ends) as peer:
        assert (await peer.ask("echo", 1))["result"] == 1
        peer.close()
        await asyncio.wait_for(peer.connection.wait_closed(), 5)


@pytest.mark.parametrize("ends", [pipes, nonblocking_pipes])
async def test_the_connection_is_closed_when_the_peer_stops_reading(ends: Callable[[], Ends]) -> None:
    async with connected(ends=ends) as peer:
        peer.receive_file.close()
        peer.connection.notify("any", {})
        await asyncio.wait_for(peer.connection.wait_closed(), 5)


async def test_finish_lets_running_requests_answer() -> None:
    go = asyncio.Event()

    async def wait(_params: Any) -> str:
        await go.wait()
        return "waited"

    async with connected({"wait": wait}) as peer:
        await peer.send(line_of(request("wait", None, 1)))
        peer.send_file.close()
        await peer.connection.wait_closed()
        finishing = asyncio.create_task(peer.connection.finish(10))
        await all_has_run()
        assert not finishing.done()
        go.set()
        await finishing
        assert (await peer.receive())["result"] == "waited"


async def test_finish_does_not_wait_longer_than_it_may() -> None:
    async def never(_params: Any) -> None:
        await asyncio.Event().wait()

    async with connected({"never": never}) as peer:
        await peer.send(line_of(request("never", None, 1)))
        for _ in range(5000):  # more than the pipe holds, and nobody reads
            peer.connection.notify("any", {"text": "x" * 100})
        await asyncio.wait_for(peer.connection.finish(0.2), 5)


async def test_the_trace_sees_every_line_of_both_directions() -> None:
    traced: list[tuple[str, bytes]] = []
    async with connected(trace=lambda direction, line: traced.append((direction, line))) as peer:
        await peer.send(b"nonsense\n")
        refusal = await peer.receive_line()
        await peer.send(line_of(request("echo", 1, 1)))
        answer = await peer.receive_line()
        assert traced == [
            ("<-", b"nonsense"),
            ("->", refusal.rstrip()),
            ("<-", line_of(request("echo", 1, 1)).rstrip()),
            ("->", answer.rstrip()),
        ]
