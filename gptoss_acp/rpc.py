"""JSON-RPC 2.0 over two file descriptors, one message a line: framing, ids, errors, cancellation, back-pressure.

Two plain threads read and write, so pipes, sockets, files and terminals all work alike and a line may be of any
length. Knows nothing about what a method means.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import select
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gptoss_acp.text import as_json

log = logging.getLogger(__name__)

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REQUEST_CANCELLED = -32800

LONGEST_LINE_IN = 64 * 2**20
"""Bytes; a longer line is refused and skipped."""

LONGEST_LINE_OUT = 64 * 1024
"""Bytes; older clients die of longer lines, whatever the pipe."""

LONGEST_TEXT = 10_000
"""Characters of one text notification: at six bytes each (`\\u0000`) the line still fits LONGEST_LINE_OUT."""

UNSENT_HIGH_WATER = 256 * 1024
UNSENT_LOW_WATER = 64 * 1024
UNHANDLED_MESSAGES = 256
LONGEST_ID = 1000
LAST_WORD_SECONDS = 0.1

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F]..)|.)", re.DOTALL)
"""An escape in a JSON string (RFC 8259, section 7); `half`: of a surrogate pair without the other half."""

Id = str | int | float | None
Handler = Callable[[Any], Awaitable[Any]]
Frame = Callable[[str], dict[str, Any]]
Trace = Callable[[str, bytes], None]


class RpcError(Exception):
    """What a request is answered with instead of a result."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def invalid_params(field: str, problem: str) -> RpcError:
    """Return the answer to a request with one wrong field."""
    return RpcError(INVALID_PARAMS, "Invalid params", [{"field": field, "problem": problem}])


class PeerGoneError(RpcError):
    """The peer has closed the connection before it answered a request of ours."""

    def __init__(self) -> None:
        super().__init__(INTERNAL_ERROR, "the client is gone")


@dataclass(frozen=True, slots=True)
class _Malformed:
    """A line that is no message, and how it is answered."""

    code: int
    problem: str


class _Answer(bytes):
    """A line that answers a request."""


@dataclass(slots=True)
class _Text:
    """A text notification that may be joined with the next one of the same key."""

    key: str
    text: str
    method: str
    frame: Frame


class Connection:
    """One peer at the other end of `read_fd` and `write_fd`.

    `requests` and `notifications` map a method's name to its handler. Every request is answered exactly once; a handler
    that is cancelled answers -32800. All methods belong to the event loop's thread.
    """

    def __init__(
        self,
        read_fd: int,
        write_fd: int,
        *,
        requests: Mapping[str, Handler],
        notifications: Mapping[str, Handler],
        trace: Trace | None = None,
    ) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._requests = requests
        self._notifications = notifications
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._closed = asyncio.Event()
        self._running: dict[Id, asyncio.Task[None]] = {}
        self._asked: dict[Id, asyncio.Future[Any]] = {}
        self._last_asked = 0
        self._notified: set[asyncio.Task[None]] = set()
        self._room = threading.BoundedSemaphore(UNHANDLED_MESSAGES)
        self._unsent: deque[bytes | _Text] = deque()
        self._unsent_size = 0
        self._unsent_answers = 0
        self._writes = True
        self._changed = threading.Condition()
        self._drained: asyncio.Event = asyncio.Event()
        self._drained.set()

    def start(self) -> None:
        threading.Thread(target=self._read, name="rpc-reader", daemon=True).start()
        threading.Thread(target=self._write, name="rpc-writer", daemon=True).start()

    async def wait_closed(self) -> None:
        """Return when the peer has closed either direction."""
        await self._closed.wait()

    async def finish(self, seconds: float) -> None:
        """Give running requests and unsent lines at most `seconds` to come to their end."""
        deadline = self._loop.time() + seconds
        if self._running:
            _, late = await asyncio.wait(self._running.values(), timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=LAST_WORD_SECONDS)
        await asyncio.to_thread(self._wait_sent, max(LAST_WORD_SECONDS, deadline - self._loop.time()))

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def notify_text(self, method: str, key: str, text: str, frame: Frame) -> None:
        """Send `frame(text)`; while the peer does not read, consecutive texts of one `key` become one message."""
        for start in range(0, len(text), LONGEST_TEXT):
            self._enqueue(_Text(key, text[start : start + LONGEST_TEXT], method, frame))

    async def request(self, method: str, params: dict[str, Any]) -> Any:
        """Ask the peer, and return its result. Cancelling tells the peer so, and waits for nothing.

        Raises:
            RpcError: the peer's error, or `params` hold text that is no UTF-8.
            PeerGoneError: the peer is gone, or goes before it answers.
        """
        if self._closed.is_set():
            raise PeerGoneError
        self._last_asked += 1
        identifier = self._last_asked
        try:
            line = orjson.dumps({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params})
        except TypeError as error:
            # Not mended as elsewhere: a path must be the one that is meant.
            raise RpcError(INTERNAL_ERROR, f"it can't be said in JSON: {error}") from error
        answer = self._asked[identifier] = self._loop.create_future()
        self._enqueue(line)
        try:
            return await answer
        except asyncio.CancelledError:
            if not self._closed.is_set():
                self.notify("$/cancel_request", {"requestId": identifier})
            raise
        finally:
            del self._asked[identifier]

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that a sender should wait in `drain`."""
        return not self._drained.is_set()

    async def drain(self) -> None:
        await self._drained.wait()

    # Receiving

    def _read(self) -> None:
        try:
            for line in self._lines():
                if self._trace and line is not None:
                    self._trace("<-", line)
                message = _decode(line)
                self._room.acquire()
                self._wait_for_answers_sent()
                self._loop.call_soon_threadsafe(self._receive, message)
        except Exception:
            log.exception("the reader failed")
        with contextlib.suppress(RuntimeError):  # the loop is gone: so is the reason to tell it
            self._loop.call_soon_threadsafe(self._close)

    def _lines(self) -> Iterator[bytes | None]:
        """Yield each line without its end, None for one that is too long to be kept."""
        parts: list[bytes] = []
        length = 0
        while chunk := self._read_some():
            *ended, rest = chunk.split(b"\n")
            for piece in ended:
                too_long = length + len(piece) > LONGEST_LINE_IN
                yield None if too_long else b"".join([*parts, piece])
                parts, length = [], 0
            length += len(rest)
            parts = [*parts, rest] if length <= LONGEST_LINE_IN else []
        if last := b"".join(parts):
            yield last

    def _read_some(self) -> bytes:
        while True:
            try:
                return os.read(self._read_fd, 256 * 1024)
            except BlockingIOError:
                select.select([self._read_fd], [], [])
            except OSError:  # a terminal that is gone says EIO, a socket ECONNRESET
                return b""

    def _receive(self, message: Any) -> None:
        self._room.release()
        if message is None:
            return
        if isinstance(message, _Malformed):
            self._answer_error(None, RpcError(message.code, message.problem))
            return
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            self._receive_other(message)
            return
        identifier = message.get("id")
        if message.get("jsonrpc") != "2.0":
            self._answer_error(_valid_id(identifier), RpcError(INVALID_REQUEST, 'Invalid request: no "jsonrpc": "2.0"'))
        elif "id" not in message:
            self._receive_notification(message["method"], message.get("params"))
        elif identifier is not None and _valid_id(identifier) is None:
            self._answer_error(
                None, RpcError(INVALID_REQUEST, "Invalid request: an id is a short string or a number of 64 bits")
            )
        elif identifier in self._running:
            self._answer_error(identifier, RpcError(INVALID_REQUEST, "Invalid request: this id is in use"))
        else:
            task = self._loop.create_task(self._answer(identifier, message["method"], message.get("params")))
            self._running[identifier] = task

    def _receive_other(self, message: Any) -> None:
        if isinstance(message, dict) and ("result" in message or "error" in message):
            self._receive_answer(message)
            return
        identifier = _valid_id(message.get("id")) if isinstance(message, dict) else None
        problem = "batches are not part of the protocol" if isinstance(message, list) else "it has no method"
        self._answer_error(identifier, RpcError(INVALID_REQUEST, f"Invalid request: {problem}"))

    def _receive_answer(self, message: dict[str, Any]) -> None:
        answer = self._asked.get(_valid_id(message.get("id")))
        if answer is None or answer.done():
            log.debug("a response to no request of ours: id %r", message.get("id"))
        elif message.get("error") is not None:
            answer.set_exception(_error_of(message["error"]))
        else:
            answer.set_result(message.get("result"))

    def _close(self) -> None:
        self._closed.set()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(PeerGoneError())

    def _receive_notification(self, method: str, params: Any) -> None:
        if method == "$/cancel_request":
            self._cancel_request(params)
            return
        handler = self._notifications.get(method)
        if handler is None:
            log.debug("unknown notification %.100s", method)
            return
        task = self._loop.create_task(self._notice(method, handler, params))
        self._notified.add(task)
        task.add_done_callback(self._notified.discard)

    async def _notice(self, method: str, handler: Handler, params: Any) -> None:
        try:
            await handler(params)
        except RpcError as error:
            log.warning("notification %s ignored: %s %s", method, error.message, error.data)
        except Exception:
            log.exception("notification %s failed", method)

    def _cancel_request(self, params: Any) -> None:
        identifier = params.get("requestId") if isinstance(params, dict) else None
        task = self._running.get(identifier) if _valid_id(identifier) is not None else None
        if task is not None:
            # Looked up now, since a later request may have the same id; cancelled after it has begun, since a task
            # that is cancelled before its first step answers nothing.
            self._loop.call_soon(task.cancel)

    # Answering

    async def _answer(self, identifier: Id, method: str, params: Any) -> None:
        try:
            answer = _line({"jsonrpc": "2.0", "id": identifier, "result": await self._handler(method)(params)})
        except RpcError as error:
            self._answer_error(identifier, error)
        except asyncio.CancelledError:
            self._answer_error(identifier, RpcError(REQUEST_CANCELLED, "Request cancelled"))
        except BaseException as error:  # a panic in a library's Rust is no Exception
            log.exception("request %s failed", method)
            self._answer_error(identifier, RpcError(INTERNAL_ERROR, "Internal error; the log file says more"))
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        else:
            self._enqueue(_Answer(answer))
        finally:
            del self._running[identifier]

    def _handler(self, method: str) -> Handler:
        handler = self._requests.get(method)
        if handler is None:
            raise RpcError(METHOD_NOT_FOUND, f"Method not found: {method[:100]}")
        return handler

    def _answer_error(self, identifier: Id, error: RpcError) -> None:
        content = {"code": error.code, "message": error.message}
        if error.data is not None:
            content["data"] = error.data
        self._enqueue(_Answer(_line({"jsonrpc": "2.0", "id": identifier, "error": content})))

    # Sending

    def _send(self, message: dict[str, Any]) -> None:
        self._enqueue(_line(message))

    def _enqueue(self, item: bytes | _Text) -> None:
        with self._changed:
            self._unsent.append(item)
            self._unsent_size += _size(item)
            if isinstance(item, _Answer):
                self._unsent_answers += len(item)
            if self._unsent_size > UNSENT_HIGH_WATER:
                self._drained.clear()
            self._changed.notify()

    def _write(self) -> None:
        behind = False
        try:
            while True:
                with self._changed:
                    while not self._unsent:
                        self._changed.wait()
                behind = self._wait_writable() or behind
                item, size = self._next(join=behind)
                behind = self._write_line(_encode(item) if isinstance(item, _Text) else item)
                self._sent(item, size)
        except OSError as error:
            log.info("the peer is gone: %s", error)
        except Exception:
            log.exception("the writer failed")
        with self._changed:
            self._writes = False
            self._changed.notify_all()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._close)

    def _wait_writable(self) -> bool:
        """Return whether the peer had to be waited for."""
        if select.select([], [self._write_fd], [], 0)[1]:
            return False
        select.select([], [self._write_fd], [])
        return True

    def _next(self, *, join: bool) -> tuple[bytes | _Text, int]:
        with self._changed:
            item = self._unsent.popleft()
            size = _size(item)
            while join and isinstance(item, _Text) and self._unsent:
                following = self._unsent[0]
                if not isinstance(following, _Text) or following.key != item.key:
                    break
                if len(item.text) + len(following.text) > LONGEST_TEXT:
                    break
                self._unsent.popleft()
                size += _size(following)
                item = _Text(item.key, item.text + following.text, item.method, item.frame)
            return item, size

    def _write_line(self, line: bytes) -> bool:
        """Return whether the peer had to be waited for before all was written."""
        if self._trace:
            self._trace("->", line)
        rest = memoryview(line + b"\n")
        waited = False
        while rest:
            # As much as never blocks where anything can be written (POSIX, write, on pipes).
            waited = self._wait_writable() or waited
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(self._write_fd, rest[: select.PIPE_BUF]) :]
        return waited

    def _wait_sent(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._unsent_size == 0, seconds)

    def _wait_for_answers_sent(self) -> None:
        """Read on only when most answers have been taken: who asks without end and does not listen must not fill us."""
        with self._changed:
            self._changed.wait_for(lambda: self._unsent_answers <= UNSENT_HIGH_WATER or not self._writes)

    def _sent(self, item: bytes | _Text, size: int) -> None:
        with self._changed:
            self._unsent_size -= size
            if isinstance(item, _Answer):
                self._unsent_answers -= size
            self._changed.notify_all()
            relieved = self._unsent_size < UNSENT_LOW_WATER and not self._drained.is_set()
        if relieved:
            self._loop.call_soon_threadsafe(self._drained.set)


def _decode(line: bytes | None) -> Any:
    """Return the message in a line, a `_Malformed`, or None where the line is empty."""
    if line is None:
        return _Malformed(INVALID_REQUEST, f"Invalid request: the line is longer than {LONGEST_LINE_IN} bytes")
    if not line.strip():
        return None
    try:
        message = _value(line)
    except orjson.JSONDecodeError as error:
        return _Malformed(PARSE_ERROR, f"Parse error: {error}")
    if message is None:
        return _Malformed(INVALID_REQUEST, "Invalid request: null is no message")
    return message


def _value(line: bytes) -> Any:
    """Return the JSON value in a line; for half of a surrogate pair, as JavaScript may send it, U+FFFD is taken.

    Raises:
        orjson.JSONDecodeError: it is no JSON.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        mended = without_half_pairs(line)
        if mended == line:
            raise
    return orjson.loads(mended)


def without_half_pairs(line: bytes) -> bytes:
    """Return JSON with U+FFFD for each half of a surrogate pair, as JavaScript may send it."""
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["half"] else escape[0], line)


def _line(message: dict[str, Any]) -> bytes:
    line = as_json(message)
    if len(line) >= LONGEST_LINE_OUT:
        log.error("a line of %d bytes: %.200r", len(line), line)
    return line


def _error_of(error: Any) -> RpcError:
    """Return the error of a response, whatever shape the peer gave it."""
    fields = error if isinstance(error, dict) else {}
    code = fields.get("code")
    try:
        said = str(fields.get("message", error))
    except RecursionError:
        said = "an error that is nested too deeply to be read"
    return RpcError(code if isinstance(code, int) else INTERNAL_ERROR, said)


def _encode(item: _Text) -> bytes:
    return _line({"jsonrpc": "2.0", "method": item.method, "params": item.frame(item.text)})


def _size(item: bytes | _Text) -> int:
    return len(item.text) + 200 if isinstance(item, _Text) else len(item)


def _valid_id(identifier: Any) -> Id:
    match identifier:
        case bool():
            return None
        case str():
            return identifier if len(identifier) <= LONGEST_ID else None
        case float():
            # An integer of more than 64 bits arrives as a float, and so would go back as another number.
            return identifier if abs(identifier) < 2**63 else None
        case int():
            return identifier
    return None
