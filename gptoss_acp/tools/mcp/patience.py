"""How long a server's answer is waited for, without the time in which the server itself waits for the user.

Knows clocks. Knows nothing about MCP.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Patience:
    """The waiting for one answer at a time."""

    def __init__(self) -> None:
        self._limit: asyncio.Timeout | None = None
        self._seconds = 0.0
        self._questions = 0

    @contextlib.asynccontextmanager
    async def of(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError in the task that waits here, after so many seconds."""
        self._seconds = seconds
        try:
            async with asyncio.timeout(seconds) as self._limit:
                yield
        finally:
            self._limit = None

    @contextlib.contextmanager
    def without_end(self) -> Iterator[None]:
        """Let no time pass while the user is asked; then it begins anew."""
        self._questions += 1
        self._reschedule()
        try:
            yield
        finally:
            self._questions -= 1
            self._reschedule()

    def _reschedule(self) -> None:
        if self._limit is not None and not self._limit.expired():
            end = asyncio.get_running_loop().time() + self._seconds
            self._limit.reschedule(None if self._questions else end)
