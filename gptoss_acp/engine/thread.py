"""The thread that owns MLX: what is said to it, what it then does, and what becomes of those who wait if it fails.

Everything that touches an array happens on this one thread: MLX's streams belong to the thread that made them. Whatever
goes wrong on it ends it, and with it everything that waits for it; the next prompt gets a fresh one, which loads its
model anew. So nobody ever waits for a thread that is no more. Knows messages and who waits. Knows nothing about arrays.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import queue
import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from gptoss_acp import mlx_extras
from gptoss_acp.engine.api import BuildMatcher, EngineError, EngineOptions
from gptoss_acp.engine.messages import (
    NOTHING_READ,
    Cancel,
    Close,
    Load,
    Message,
    ReadAhead,
    Resume,
    Status,
    Submit,
    Unload,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gptoss_acp.engine.generation import Generation
    from gptoss_acp.engine.residency import Residency

log = logging.getLogger(__name__)

LONGEST_REASON = 500
"""Characters; mlx-lm names every weight that is missing."""

Inbox = queue.SimpleQueue[Message]


class EngineThread:
    """The thread, and after a failure the next one. Every method may be called on any thread.

    A generation or a load is noted here before the thread hears of it, and until it has ended: when the thread ends,
    these are who waits.
    """

    def __init__(self, options: EngineOptions, build_matcher: BuildMatcher) -> None:
        self._options = options
        self._build_matcher = build_matcher
        self._idle_seconds = min(options.idle_minutes * 60, threading.TIMEOUT_MAX)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._inbox: Inbox | None = None
        self._generations: dict[int, Generation] = {}
        self._loads: dict[str, Future[None]] = {}
        self._statuses: dict[str, Status] = {}

    def start(self) -> None:
        """Begin the slow imports, unless they have been begun; where that can't be, the first load will say so."""
        with self._lock, contextlib.suppress(EngineError):
            self._living_inbox()

    def load(self, message: Load) -> Future[None]:
        """Return what is done when the model is in memory, or ends with an EngineError.

        Raises:
            EngineError: there can be no thread.
        """
        with self._lock:
            inbox = self._living_inbox()
            loaded = self._loads.get(message.model)
            if loaded is None:
                loaded = self._loads[message.model] = Future()
                loaded.set_running_or_notify_cancel()  # who gives up waiting does not stop the load
                inbox.put(message)
            return loaded

    def submit(self, generation: Generation) -> None:
        """Begin a generation, some time; whatever happens then, it will be ended.

        Raises:
            EngineError: there can be no thread.
        """
        request = generation.request
        with self._lock:
            inbox = self._living_inbox()
            self._generations = {number: one for number, one in self._generations.items() if not one.ended}
            self._generations[request.number] = generation
            inbox.put(request)

    def send(self, message: Cancel | Resume | ReadAhead | Unload | Close) -> None:
        """Tell a thread that lives; to one that does not, and has nothing in memory, it would mean nothing."""
        with self._lock:
            if self._inbox is not None:
                self._inbox.put(message)

    def status(self, model: str) -> Status:
        return self._statuses.get(model, Status())

    def memory_bytes(self) -> int:
        """Return the bytes that all models and their contexts take."""
        if not any(status.context_length for status in self._statuses.values()):
            return 0
        import mlx.core as mx  # noqa: PLC0415 (costs nothing here: the thread has imported it)

        return mx.get_active_memory() + mx.get_cache_memory()

    def machines(self) -> str:
        """Return nothing: there is this one only."""
        return ""

    def _living_inbox(self) -> Inbox:
        if self._inbox is None:
            inbox: Inbox = queue.SimpleQueue()
            self._thread = threading.Thread(target=self._run, args=(inbox,), name="engine", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                raise EngineError(f"The engine can't start: {error}") from error
            self._inbox = inbox
        return self._inbox

    # On the thread

    def _run(self, inbox: Inbox) -> None:
        reason = EngineError("The engine has ended. The next prompt starts it afresh.")
        try:
            self._work(inbox)
        except BaseException as error:
            log.critical("the engine's thread has failed", exc_info=error)
            reason = _reason(error)
        finally:
            gc.collect()  # the models go before a fresh thread loads them again
            self._end_all(reason)

    def _work(self, inbox: Inbox) -> None:
        """Do what the messages say, and in between what there is to generate, until one says to close."""
        os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # it would tell stderr that PyTorch is missing
        from gptoss_acp.engine.residency import Residency  # noqa: PLC0415 (MLX, which takes seconds)

        with contextlib.closing(Residency(self._options, self._build_matcher, self._statuses)) as models:
            while True:
                for message in self._heard(inbox, wait=not models.busy):
                    if not self._obey(message, models):
                        return
                models.step()

    def _heard(self, inbox: Inbox, *, wait: bool) -> Iterator[Message]:
        """Yield what has come; with `wait` at least one, which is to unload when nothing comes for long."""
        if wait:
            try:
                yield inbox.get(timeout=self._idle_seconds)
            except queue.Empty:
                yield Unload()
        with contextlib.suppress(queue.Empty):
            while True:
                yield inbox.get_nowait()

    def _obey(self, message: Message, models: Residency) -> bool:
        """Do what `message` says; return whether to go on."""
        match message:
            case Load():
                self._load(message, models)
            case Submit(number=number):
                self._submit(self._generations[number], models)
            case Cancel(number=number):
                if generation := self._generations.get(number):
                    models.cancel(generation)
            case Resume(number=number):
                if generation := self._generations.get(number):
                    models.resume(generation)
            case ReadAhead(model=model, tokens=tokens):
                models.read_ahead(model, tokens)
            case Unload():
                models.unload_idle()
            case Close():
                return False
        return True

    def _load(self, message: Load, models: Residency) -> None:
        failure: EngineError | None = None
        try:
            models.load(message.model, message.folder)
        except Exception as error:
            log.exception("loading %s failed", message.model)
            failure = EngineError(str(error)[:LONGEST_REASON])
        with self._lock:
            loaded = self._loads.pop(message.model)
        if failure is None:
            loaded.set_result(None)
        else:
            loaded.set_exception(failure)

    def _submit(self, generation: Generation, models: Residency) -> None:
        try:
            models.submit(generation)
        except EngineError as error:
            generation.end(error)
        except Exception as error:
            log.exception("a generation could not start")
            generation.end(EngineError(f"The engine failed: {error}"))

    def _end_all(self, reason: EngineError) -> None:
        with self._lock:
            self._inbox = None
            for model, status in self._statuses.items():
                self._statuses[model] = replace(status, loaded=False, progress=NOTHING_READ)
            generations, self._generations = self._generations, {}
            loads, self._loads = self._loads, {}
        for generation in generations.values():
            generation.end(reason)
        for load in loads.values():
            load.set_exception(reason)


def _reason(error: BaseException) -> EngineError:
    if isinstance(error, ImportError):
        return EngineError(f"MLX can't run: {error}. {mlx_extras.how_to_install()}")
    return EngineError(f"The engine failed: {error}. The next prompt starts it afresh.")
