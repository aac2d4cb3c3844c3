"""Waiting for what no event announces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def settled(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Return when `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110, what is waited for belongs to another thread or process
            await asyncio.sleep(0.002)
