"""gpt-oss on MLX, as the event loop's thread sees it: each call is a message to the thread that runs the models.

Knows where a model's files are, and what the thread tells. Knows nothing about text, sessions or ACP, nor how a token
is made; imports no MLX, because that costs seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gptoss_acp.engine import checkpoints
from gptoss_acp.engine.api import (
    BuildMatcher,
    Constraint,
    EngineError,
    EngineOptions,
    LoadProgress,
    ModelMissingError,
    PromptTooLongError,
    Sampling,
)
from gptoss_acp.engine.download import download
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Close, Load, ReadAhead, Submit
from gptoss_acp.engine.thread import EngineThread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gptoss_acp.engine.driver import Driver

log = logging.getLogger(__name__)

LOG_SECONDS = 10.0
"""Between two lines in the log about a running download."""


def no_matcher(constraint: Constraint, _prompt: Sequence[int]) -> Any:
    """Say that there is nothing to build matchers with: for an engine that is given no constraints."""
    raise EngineError(f"This engine can't hold a generation to a constraint: {type(constraint).__name__}")


def _driver(options: EngineOptions, build_matcher: BuildMatcher) -> Driver:
    if options.hosts is None:
        return EngineThread(options, build_matcher)
    from gptoss_acp.engine.ranks.supervisor import RankSupervisor  # noqa: PLC0415 (hardly ever needed)

    return RankSupervisor(options.hosts, options, build_matcher)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the engines of several models have in common."""

    driver: Driver
    engines: dict[str, MlxEngine] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)


class MlxEngine:
    """One model behind `engine.api.Engine`; engines with the same `shared` run on one thread, in one memory."""

    def __init__(
        self,
        model_name: str,
        options: EngineOptions,
        build_matcher: BuildMatcher = no_matcher,
        shared: Shared | None = None,
    ) -> None:
        self.model_name = model_name
        self._options = options
        self._build_matcher = build_matcher
        self._shared = shared or Shared(_driver(options, build_matcher))
        self._shared.engines[model_name] = self
        self._driver = self._shared.driver
        self._loading: asyncio.Future[None] | None = None
        self.may_download = False
        self._downloading: asyncio.Future[None] | None = None
        self._downloaded = LoadProgress()
        self._log_downloaded = _LogNowAndThen(model_name)

    def other(self, model_name: str) -> MlxEngine:
        known = self._shared.engines.get(model_name)
        return known or MlxEngine(model_name, self._options, self._build_matcher, self._shared)

    @property
    def context_length(self) -> int:
        return self._driver.status(self.model_name).context_length

    @property
    def load_progress(self) -> LoadProgress:
        if self._downloading is not None and not self._downloading.done():
            return self._downloaded
        return self._driver.status(self.model_name).progress

    @property
    def memory_bytes(self) -> int:
        return self._driver.memory_bytes() if self.context_length else 0

    @property
    def machines(self) -> str:
        return self._driver.machines()

    def start(self) -> None:
        self._driver.start()

    async def check_available(self) -> None:
        await asyncio.to_thread(checkpoints.find, self.model_name)

    async def download(self) -> None:
        if self._downloading is None or self._downloading.done():
            self._downloaded = LoadProgress(downloading=True)
            self._downloading = asyncio.ensure_future(download(self.model_name, self._note_downloaded))
        try:
            await asyncio.shield(self._downloading)
        except asyncio.CancelledError:
            if self._downloading.cancelled():
                raise EngineError("The download was stopped; the next prompt goes on with it.") from None
            raise

    def stop_download(self) -> None:
        if self._downloading is not None:
            self._downloading.cancel()

    def _note_downloaded(self, done: int, total: int) -> None:
        self._downloaded = LoadProgress(done, total, downloading=True)
        self._log_downloaded(done, total)

    async def load(self) -> None:
        """Load the model; callers that come while it loads wait for the same load. A failed one is tried again."""
        # The thread may unload an idle model right after this was asked; then it loads it again for the generation.
        loaded = self._driver.status(self.model_name).loaded
        if self._loading is None or (self._loading.done() and not loaded):
            self._loading = asyncio.ensure_future(self._load())
        await asyncio.shield(self._loading)

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        branches: Sequence[int] = (),
        constraint: Constraint | None = None,
    ) -> Generation:
        if len(prompt) >= self.context_length:
            raise PromptTooLongError(len(prompt), self.context_length)
        number = next(self._shared.numbers)
        request = Submit(self.model_name, number, tuple(prompt), sampling, tuple(branches), constraint)
        generation = Generation(request, self._driver.send)
        self._driver.submit(generation)
        return generation

    def read_ahead(self, prefix: Sequence[int]) -> None:
        self._driver.send(ReadAhead(self.model_name, tuple(prefix)))

    def close(self) -> None:
        self._driver.send(Close())

    async def _find(self) -> Path | None:
        try:
            return await asyncio.to_thread(checkpoints.find, self.model_name)
        except ModelMissingError as error:
            if not (error.downloadable and self.may_download):
                raise
        await self.download()
        return await asyncio.to_thread(checkpoints.find, self.model_name)

    async def _load(self) -> None:
        folder = await self._find()
        try:
            await asyncio.wrap_future(self._driver.load(Load(self.model_name, folder)))
        except EngineError as error:
            raise EngineError(f"The model {self.model_name} could not be loaded: {error}") from error


class _LogNowAndThen:
    """Writes the progress of a download to the log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next or done == total:
            self._next = time.monotonic() + LOG_SECONDS
            log.info("downloading %s: %.2f of %.2f GB", self._name, done / 1e9, total / 1e9)
