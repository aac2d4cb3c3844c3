"""The thread that owns MLX, the commands that reach it, and the models it runs.

Everything that touches an array happens on this one thread: MLX's streams belong to the thread that made them. Knows
nothing about text, sessions or ACP; imports MLX only on that thread, because the import costs seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gptoss_acp.engine import checkpoints
from gptoss_acp.engine.api import (
    BuildMatcher,
    Constraint,
    EngineError,
    EngineOptions,
    Generation,
    LoadProgress,
    PromptTooLongError,
    Sampling,
)
from gptoss_acp.engine.download import download

if TYPE_CHECKING:
    from gptoss_acp.engine.scheduler import Scheduler

log = logging.getLogger(__name__)

LONGEST_REASON = 500
"""Characters; mlx-lm names every weight that is missing."""

INSTALL_MLX = "On Linux install gptoss-acp with one of its extras: [cuda13], [cuda12], or [cpu]."

LOG_SECONDS = 10.0
"""Between two lines in the log about a running download."""

Command = Callable[[], None]


class Worker:
    """The thread. `schedulers` are those of the models that it has been asked for, `engines` what stands for each."""

    def __init__(self, idle_minutes: float) -> None:
        self.engines: dict[str, MlxEngine] = {}
        self.schedulers: list[Scheduler] = []
        self._idle_seconds = idle_minutes * 60
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> bool:
        """Return whether this has started the thread, which may have been before."""
        try:
            self._thread.start()
        except RuntimeError:
            return False
        return True

    def put(self, command: Command | None) -> None:
        """Let the thread carry out `command`; None ends it."""
        self._commands.put(command)

    def _run(self) -> None:
        while True:
            busy = any(scheduler.busy for scheduler in self.schedulers)
            for command in self._pending(wait=not busy):
                if command is None:
                    return
                try:
                    command()
                except Exception:
                    log.exception("an engine command failed")
            for scheduler in [one for one in self.schedulers if one.generating] or self.schedulers:
                scheduler.step()

    def _pending(self, *, wait: bool) -> list[Command | None]:
        commands: list[Command | None] = []
        if wait:
            try:
                commands.append(self._commands.get(timeout=self._idle_seconds))
            except queue.Empty:
                commands += [scheduler.unload for scheduler in self.schedulers]
        with contextlib.suppress(queue.Empty):
            while True:
                commands.append(self._commands.get_nowait())
        return commands


def no_matcher(constraint: Constraint, _prompt: Sequence[int]) -> Any:
    """Say that there is nothing to build matchers with: for an engine that is given no constraints."""
    raise EngineError(f"This engine can't hold a generation to a constraint: {type(constraint).__name__}")


class MlxEngine:
    """gpt-oss on MLX, behind `engine.api.Engine`; several models share one `worker`."""

    def __init__(
        self,
        model_name: str,
        options: EngineOptions,
        build_matcher: BuildMatcher = no_matcher,
        worker: Worker | None = None,
    ) -> None:
        self.model_name = model_name
        self.load_progress = LoadProgress()
        self._options = options
        self._build_matcher = build_matcher
        self._worker = worker or Worker(options.idle_minutes)
        self._worker.engines[model_name] = self
        self._scheduler: Scheduler | None = None
        self._loading: asyncio.Future[None] | None = None
        self._downloading = asyncio.Lock()

    def other(self, model_name: str) -> MlxEngine:
        known = self._worker.engines.get(model_name)
        return known or MlxEngine(model_name, self._options, self._build_matcher, self._worker)

    @property
    def context_length(self) -> int:
        return self._scheduler.context_length if self._scheduler is not None else 0

    @property
    def memory_bytes(self) -> int:
        if self._scheduler is None:
            return 0
        import mlx.core as mx  # costs nothing here: the scheduler has imported it

        return mx.get_active_memory() + mx.get_cache_memory()

    def start(self) -> None:
        if self._worker.start():
            self._worker.put(lambda: log.debug("%s is ready to load", self._prepared()))

    async def check_available(self) -> None:
        await asyncio.to_thread(checkpoints.find, self.model_name)

    async def download(self) -> None:
        async with self._downloading:
            await download(self.model_name, _LogNowAndThen(self.model_name))

    async def load(self) -> None:
        """Load the model; callers that come while it loads wait for the same load. A failed one is tried again."""
        if self._loading is None or (self._loading.done() and not self._loaded):
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

        def cancel() -> None:
            self._worker.put(lambda: self._prepared().cancel(generation))

        generation = Generation(prompt, sampling, branches, constraint, on_close=cancel)
        generation.on_resume = lambda: self._worker.put(lambda: self._prepared().resume(generation))
        self._worker.put(lambda: self._prepared().submit(generation))
        return generation

    def read_ahead(self, prefix: Sequence[int]) -> None:
        tokens = tuple(prefix)
        self._worker.put(lambda: self._prepared().read_ahead(tokens))

    def close(self) -> None:
        self._worker.put(None)

    @property
    def _loaded(self) -> bool:
        # The engine's thread may unload an idle model right after this was asked; then `submit` loads it again.
        return self._scheduler is not None and self._scheduler.loaded

    def _note_progress(self, progress: LoadProgress) -> None:
        self.load_progress = progress

    async def _load(self) -> None:
        self.load_progress = LoadProgress()
        folder = await asyncio.to_thread(checkpoints.find, self.model_name)
        loop = asyncio.get_running_loop()
        loaded: asyncio.Future[None] = loop.create_future()

        def load() -> None:
            failure = None
            try:
                self._prepared().load(folder, self._note_progress)
            except ImportError as error:
                log.exception("MLX can't be imported")
                failure = f"{self.model_name} could not be loaded, for MLX can't run: {error}. {INSTALL_MLX}"
            except Exception as error:
                log.exception("loading %s failed", self.model_name)
                failure = f"The model {self.model_name} could not be loaded: {str(error)[:LONGEST_REASON]}"
            loop.call_soon_threadsafe(_settle, loaded, failure)

        self.start()
        self._worker.put(load)
        await loaded

    # On the engine's thread

    def _prepared(self) -> Scheduler:
        if self._scheduler is None:
            os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # it would tell stderr that PyTorch is missing
            from gptoss_acp.engine.scheduler import Scheduler

            self._scheduler = Scheduler(self._options, self._build_matcher, self._worker.schedulers)
        return self._scheduler


class _LogNowAndThen:
    """Writes the progress of a download to the log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next or done == total:
            self._next = time.monotonic() + LOG_SECONDS
            log.info("downloading %s: %.2f of %.2f GB", self._name, done / 1e9, total / 1e9)


def _settle(future: asyncio.Future[None], failure: str | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(EngineError(failure))
