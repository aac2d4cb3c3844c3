"""An engine that plays given token ids: for tests of everything around the model, and to measure our own cost."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

from gptoss_acp.engine.api import Constraint, LoadProgress, PromptTooLongError, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Cancel, Resume, Submit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class ScriptedEngine:
    """Plays the file's `generations`, lists of ids, one for each call of `generate`; the last one again for more.

    `delay`: seconds before each token (default 0: as fast as they are read).
    """

    model_name = "scripted"
    memory_bytes = 0
    machines = ""
    load_progress = LoadProgress()
    may_download = False

    def __init__(self, file: Path, context_length: int | None = None) -> None:
        script = json.loads(file.read_text("utf-8"))
        self.context_length = context_length or 131_072
        self._generations: list[list[int]] = script["generations"]
        self._delay = float(script.get("delay", 0))
        self._played = 0

    def other(self, model_name: str) -> ScriptedEngine:  # noqa: ARG002, it is the same for each
        """Return this: the script plays every part."""
        return self

    def start(self) -> None:
        """Nothing is slow here."""

    async def check_available(self) -> None:
        """Return: the script is all there is."""

    async def download(self) -> None:
        """Return: there is nothing to download."""

    def stop_download(self) -> None:
        """Return: none runs."""

    async def load(self) -> None:
        """Return: there is nothing to load."""

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        branches: Sequence[int] = (),
        constraint: Constraint | None = None,
    ) -> Generation:
        if len(prompt) >= self.context_length:
            raise PromptTooLongError(len(prompt), self.context_length)
        tokens = self._generations[min(self._played, len(self._generations) - 1)]
        request = Submit(self.model_name, self._played, tuple(prompt), sampling, tuple(branches), constraint)
        self._played += 1
        wanted = threading.Event()
        wanted.set()
        closed = threading.Event()

        def obey(message: Cancel | Resume) -> None:
            if isinstance(message, Cancel):
                closed.set()
            wanted.set()

        generation = Generation(request, obey)
        generation.begin()
        player = threading.Thread(target=self._play, args=(generation, tokens, wanted, closed), daemon=True)
        player.start()
        return generation

    def read_ahead(self, prefix: Sequence[int]) -> None:
        """Nothing is read."""

    def close(self) -> None:
        """Nothing is held."""

    def _play(
        self, generation: Generation, tokens: list[int], wanted: threading.Event, closed: threading.Event
    ) -> None:
        started = time.perf_counter()
        for token in tokens[: generation.request.sampling.max_tokens]:
            if self._delay:
                closed.wait(self._delay)
            if generation.overfull:
                wanted.clear()
                generation.pause()
                if not closed.is_set():  # or what is wanted was said before it was cleared
                    wanted.wait()
            if closed.is_set():
                break
            generation.figures.generated_tokens += 1
            generation.put(token)
        generation.figures.decode_seconds = time.perf_counter() - started
        generation.end()
