"""The model of one session: which one it is, how much of its context may be filled, and waiting until it is loaded.

Knows the engine's interface and the editor's updates. Knows nothing about turns, nor how a model is loaded.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from gptoss_acp.engine import checkpoints
from gptoss_acp.engine.api import Constraint, Engine, LoadProgress, Model, PromptTooLongError, Sampling
from gptoss_acp.protocol.shapes import ToolCallStatus, text_content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.engine.generation import Generation
    from gptoss_acp.protocol.updates import Updates

UNSEEN_SECONDS = 1.0
"""What takes no longer is not worth a word."""

PROGRESS_SECONDS = 0.5


class ChosenModel:
    """What a session generates with, an `engine.api.Model`. Another takes its place when nothing is generated."""

    def __init__(self, engine: Engine, longest_context: int | None = None) -> None:
        self.longest_context = longest_context
        self._engine = engine
        self._chosen = engine

    def choose(self, engine: Engine) -> None:
        """Let `engine` be the next to generate."""
        self._chosen = engine

    def settle(self) -> None:
        """Go on with the engine that was chosen last; nothing may be generating."""
        self._engine = self._chosen

    @property
    def chosen_name(self) -> str:
        """The name of the model that was chosen last, which a running turn may not be using yet."""
        return self._chosen.model_name

    @property
    def model_name(self) -> str:
        return self._engine.model_name

    @property
    def context_length(self) -> int:
        of_the_model = self._engine.context_length
        return min(of_the_model, self.longest_context or of_the_model)

    @property
    def memory_bytes(self) -> int:
        return self._engine.memory_bytes

    @property
    def machines(self) -> str:
        return self._engine.machines

    @property
    def load_progress(self) -> LoadProgress:
        return self._engine.load_progress

    async def load(self) -> None:
        self.settle()
        await self._engine.load()

    def stop_download(self) -> None:
        self._engine.stop_download()

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        branches: Sequence[int] = (),
        constraint: Constraint | None = None,
    ) -> Generation:
        room = self.context_length - len(prompt)
        if room <= 0:
            raise PromptTooLongError(len(prompt), self.context_length)
        within = replace(sampling, max_tokens=min(sampling.max_tokens or room, room))
        return self._engine.generate(prompt, within, branches, constraint)

    def read_ahead(self, prefix: Sequence[int]) -> None:
        self._engine.read_ahead(prefix)


async def load(engine: Model, updates: Updates) -> None:
    """Return when the model is ready. Cancelling stops the waiting and a download, which the next prompt takes up.

    It does not stop the loading: the next prompt needs it too.

    Raises:
        EngineError: it can't be loaded.
    """
    loading = asyncio.ensure_future(engine.load())
    try:
        if not await _ended(loading, UNSEEN_SECONDS):
            await _show(loading, engine, updates.unnoted())
        loading.result()
    except asyncio.CancelledError:
        if engine.load_progress.downloading:
            engine.stop_download()
        raise
    finally:
        loading.cancel()


async def _show(loading: asyncio.Future[None], engine: Model, updates: Updates) -> None:
    started = time.monotonic() - UNSEEN_SECONDS
    while not loading.done():
        await _show_part(loading, engine, updates, started)
        started = time.monotonic()


async def _show_part(loading: asyncio.Future[None], engine: Model, updates: Updates, started: float) -> None:
    """Show the download, or the load, until it is at its end."""
    identifier, begun = str(uuid.uuid4()), engine.load_progress
    doing, done = ("Downloading", "Downloaded") if begun.downloading else ("Loading", "Loaded")
    status: ToolCallStatus = "failed"
    text = "Cancelled."
    updates.tool_call(identifier, f"{doing} {checkpoints.short_name(engine.model_name)}", "other", "in_progress")
    try:
        ended = False
        while not ended and (now := engine.load_progress).downloading == begun.downloading:
            said = _text(now, now.done - begun.done, time.monotonic() - started)
            updates.tool_call_update(identifier, content=[text_content(said)])
            ended = await _ended(loading, PROGRESS_SECONDS)
        error = loading.exception() if ended else None
        if error is None:
            status, text = "completed", f"{done} in {time.monotonic() - started:.0f} s."
        else:
            text = str(error)
    finally:
        updates.tool_call_update(identifier, status=status, content=[text_content(text)])


async def _ended(loading: asyncio.Future[None], seconds: float) -> bool:
    return bool((await asyncio.wait([loading], timeout=seconds))[0])


def _text(progress: LoadProgress, arrived: int, seconds: float) -> str:
    """Return how far it is; `arrived` are the bytes of these seconds."""
    if not progress.total:
        return f"Getting ready, {seconds:.0f} s"
    far = f"{progress.done / 1e9:.1f} of {progress.total / 1e9:.1f} GB"
    if not (progress.downloading and arrived > 0):
        return f"{far}, {seconds:.0f} s"
    rate = arrived / seconds
    left = (progress.total - progress.done) / rate
    return f"{far}, {rate / 1e6:.1f} MB/s, {f'{left / 60:.0f} min' if left > 90 else f'{left:.0f} s'} left"
