"""The connection in this process, over real descriptors: what a peer may do to it, and what it must never do."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from gptoss_acp import rpc
from gptoss_acp.rpc import RpcError
from tests.support.agent_process import line_of, request
from tests.support.rpc_peer import Ends, connected, nonblocking_pipes, nonblocking_sockets, pipes, sockets
from tests.support.waiting import all_has_run

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


HALVES = {
    rb"a\ud83d": "a\ufffd",
    rb"\uDE00b": "\ufffdb",
    rb"\ud83d\ude00 \ud83d": "\U0001f600 \ufffd",
    rb"\ud83d\ud83d\ude00": "\ufffd\U0001f600",
    rb"\\ud83d \ud83d": "\\ud83d \ufffd",
    rb"\ud83d\n": "\ufffd\n",
}


@pytest.mark.parametrize("written", HALVES)
async def test_half_of_a_surrogate_pair_costs_itself_in_requests_and_answers(written: bytes) -> None:
    async with connected() as peer:
        await peer.send(b'{"jsonrpc":"2.0","id":7,"method":"echo","params":"' + written + b'"}\n')
        assert (await peer.receive())["result"] == HALVES[written]
        asking = asyncio.create_task(peer.connection.request("ask", {}))
        identifier = (await peer.receive())["id"]
        answer = b'{"jsonrpc":"2.0","result":"%s","id":"%s"}\n' % (written, str(identifier).encode())
        await peer.send(
            answer if isinstance(identifier, str) else answer.replace(b'"%d"' % identifier, b"%d" % identifier)
        )
        assert await asking == HALVES[written]


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


async def test_a_handler_that_panics_is_answered_and_the_next_is_heard() -> None:
    class Panic(BaseException):
        """As pyo3 raises where Rust panics: no Exception."""

    async def fail(_params: Any) -> None:
        raise Panic

    async with connected({"fail": fail}) as peer:
        assert (await peer.ask("fail"))["error"]["code"] == rpc.INTERNAL_ERROR
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
