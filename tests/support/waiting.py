"""Waiting for what no event announces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def settled(condition: Callable[[], object], seconds: float = 5) -> None:
    """Return when `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110, what is waited for belongs to another thread or process
            await asyncio.sleep(0.002)


def wait_until(condition: Callable[[], object], seconds: float = 5) -> None:
    """Return when `condition` holds, with nothing else going on here meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in {seconds} s it did not come to that"
        time.sleep(0.01)


async def all_has_run() -> None:
    """Let the loop do what is ready, and what comes of that at once."""
    for _ in range(20):
        await asyncio.sleep(0)
