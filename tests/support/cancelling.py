"""Cancelling a turn through the real program, and seeing that it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tests.support.editor import Editor, Open


async def cancel_when(
    editor: Editor, session: Open, begun: Callable[[], Any], how: Callable[[], Any] | None = None
) -> float:
    """Cancel the turn once `begun` holds, and return how many seconds it took to answer `cancelled`."""
    turn = asyncio.create_task(session.prompt())
    await editor.until(begun)
    at = time.monotonic()
    await (how() if how else session.cancel())
    assert await turn == "cancelled"
    took = time.monotonic() - at
    count = len(editor.updates)
    await asyncio.sleep(0.2)  # in which nothing may come
    assert len(editor.updates) == count, "an update after the turn's answer"
    assert [call["status"] for call in editor.calls()] == ["failed"]
    return took


async def next_prompt_works(editor: Editor, session: Open) -> None:
    assert await session.prompt() == "end_turn"
    await editor.until(lambda: "Fine." in editor.text())
