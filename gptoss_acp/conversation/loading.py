"""Waiting for the model, where the editor can see it: a tool call with how far the loading is.

Knows the engine's interface and the client's updates. Knows nothing about turns, nor how a model is loaded.
"""

from __future__ import annotations

import asyncio
import time
import uuid

from gptoss_acp.engine import checkpoints
from gptoss_acp.engine.api import LoadProgress, Model
from gptoss_acp.protocol.updates import Updates, text_content

UNSEEN_SECONDS = 1.0
"""What takes no longer is not worth a word."""

PROGRESS_SECONDS = 0.5


async def load(engine: Model, updates: Updates) -> None:
    """Return when the model is ready. Cancelling stops the waiting, not the loading: the next prompt needs it too.

    Raises:
        EngineError: it can't be loaded.
    """
    loading = asyncio.ensure_future(engine.load())
    try:
        if not await _ended(loading, UNSEEN_SECONDS):
            await _show(loading, engine, updates)
        loading.result()
    finally:
        loading.cancel()


async def _show(loading: asyncio.Future[None], engine: Model, updates: Updates) -> None:
    identifier = str(uuid.uuid4())
    started = time.monotonic() - UNSEEN_SECONDS
    status, text = "failed", "Cancelled."
    updates.tool_call(identifier, f"Loading {checkpoints.short_name(engine.model_name)}", "other", "in_progress")
    try:
        ended = False
        while not ended:
            now = _text(engine.load_progress, time.monotonic() - started)
            updates.tool_call_update(identifier, content=[text_content(now)])
            ended = await _ended(loading, PROGRESS_SECONDS)
        error = loading.exception()
        if error is None:
            status, text = "completed", f"Loaded in {time.monotonic() - started:.0f} s."
        else:
            text = str(error)
    finally:
        updates.tool_call_update(identifier, status=status, content=[text_content(text)])


async def _ended(loading: asyncio.Future[None], seconds: float) -> bool:
    return bool((await asyncio.wait([loading], timeout=seconds))[0])


def _text(progress: LoadProgress, seconds: float) -> str:
    if not progress.total:
        return f"Getting ready, {seconds:.0f} s"
    return f"{progress.done / 1e9:.1f} of {progress.total / 1e9:.1f} GB, {seconds:.0f} s"
