"""The tokens of one generation, on their way from the engine's thread to whoever reads them.

Knows the two threads, and that a slow reader must not make memory grow. Knows nothing about how a token is made.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from gptoss_acp.engine.api import EngineError, Figures
from gptoss_acp.engine.messages import Cancel, Resume

if TYPE_CHECKING:
    from collections.abc import Callable

    from gptoss_acp.engine.messages import Submit


class Sink(Protocol):
    """A generation as the engine's thread sees it.

    `closing`: it is to be let go of; `overfull`: it is to pause, for its reader is slow.
    """

    request: Submit
    figures: Figures
    closing: bool

    @property
    def overfull(self) -> bool: ...

    def begin(self) -> bool: ...

    def put(self, token: int) -> None: ...

    def pause(self) -> None: ...

    def end(self, error: EngineError | None = None) -> None: ...


class Generation:
    """An async iterator of sampled ids, whose `aclose` stops the engine's work on it.

    The engine's thread calls `begin`, `put`, `pause` and `end`; everything else belongs to the event loop's thread,
    which tells the engine's with `send`. Unread tokens are bounded: past `HIGH_WATER` the engine pauses this generation
    until the reader is below `LOW_WATER` again.
    """

    HIGH_WATER = 256
    LOW_WATER = 64

    def __init__(self, request: Submit, send: Callable[[Cancel | Resume], None]) -> None:
        self.request = request
        self.figures = Figures(prompt_tokens=len(request.prompt))
        self.begun = False
        self.closing = False
        self._send = send
        self._paused = False
        self._loop = asyncio.get_running_loop()
        self._tokens: deque[int] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: EngineError | None = None

    # On the engine's thread

    def begin(self) -> bool:
        """Return whether there is anything to do: False where it is closed already."""
        self.begun = True
        return not self.closing

    def put(self, token: int) -> None:
        """Hand over a sampled id."""
        self._tokens.append(token)
        self._wake()

    def pause(self) -> None:
        """Say that no more ids come before a `Resume`."""
        self._paused = True
        self._wake()

    def end(self, error: EngineError | None = None) -> None:
        """Say that no more ids come; what has ended stays as it ended."""
        if not self._ended:
            self._error = error
            self._ended = True
            self._wake()

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def overfull(self) -> bool:
        return len(self._tokens) >= self.HIGH_WATER

    # On the event loop's thread

    def __aiter__(self) -> Generation:
        return self

    async def __anext__(self) -> int:
        while not self._tokens:
            if self._ended and not self._tokens:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._resume_if_low()
            await self._wait()
        token = self._tokens.popleft()
        self._resume_if_low()
        return token

    async def aclose(self) -> None:
        """Stop; returns once the engine has let go of this generation. Unread tokens are dropped."""
        if not self._ended:
            self.closing = True
            self._send(Cancel(self.request.number))
        # `begin` sets `begun` before it looks at `closing`: one that is closed before it has begun never begins.
        while self.begun and not self._ended:
            self._tokens.clear()
            self._paused = False
            await self._wait()
        self._tokens.clear()

    def _resume_if_low(self) -> None:
        if self._paused and len(self._tokens) < self.LOW_WATER:
            self._paused = False
            self._send(Resume(self.request.number))

    async def _wait(self) -> None:
        # The waiter is set before the second look at what came in, and `put` appends before it looks at the waiter:
        # one of the two sees the other, so no wake-up is lost.
        waiter = self._waiter = self._loop.create_future()
        if not self._tokens and not self._ended and not self._paused:
            await waiter
        self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            try:
                self._loop.call_soon_threadsafe(_resolve, waiter)
            except RuntimeError:  # the loop is closed, so nobody reads any more
                self.closing = True


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
