"""The thread that owns MLX: what is said to it, what it then does, and what becomes of those who wait if it fails.

Everything that touches an array happens on this one thread: MLX's streams belong to the thread that made them. Whatever
goes wrong on it ends it, and with it everything that waits for it; the next prompt gets a fresh one, which loads its
model anew. Knows messages, and what becomes of those who wait. Knows nothing about arrays.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import queue
import threading
from typing import TYPE_CHECKING

from gptoss_acp import mlx_extras
from gptoss_acp.engine.api import BuildMatcher, EngineError, EngineOptions
from gptoss_acp.engine.driver import LONGEST_REASON, Driver
from gptoss_acp.engine.messages import Cancel, Close, Load, Message, Pause, ReadAhead, Resume, Submit, Unload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gptoss_acp.engine.generation import Generation
    from gptoss_acp.engine.residency import Residency

log = logging.getLogger(__name__)

Inbox = queue.SimpleQueue[Message]


class EngineThread(Driver):
    """The thread, and after a failure the next one."""

    def __init__(self, options: EngineOptions, build_matcher: BuildMatcher) -> None:
        super().__init__()
        self._options = options
        self._build_matcher = build_matcher
        self._idle_seconds = min(options.idle_minutes * 60, threading.TIMEOUT_MAX)
        self._thread: threading.Thread | None = None
        self._inbox: Inbox | None = None

    def send(self, message: Cancel | Pause | Resume | ReadAhead | Unload | Close) -> None:
        with self._lock:
            if self._inbox is not None:
                self._inbox.put(message)

    def memory_bytes(self) -> int:
        if not any(status.context_length for status in self._statuses.values()):
            return 0
        import mlx.core as mx  # noqa: PLC0415 (costs nothing here: the thread has imported it)

        return mx.get_active_memory() + mx.get_cache_memory()

    def machines(self) -> str:
        return ""

    def _living(self) -> Callable[[Message], None]:
        if self._inbox is None:
            inbox: Inbox = queue.SimpleQueue()
            self._thread = threading.Thread(target=self._run, args=(inbox,), name="engine", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                raise EngineError(f"The engine can't start: {error}") from error
            self._inbox = inbox
        return self._inbox.put

    def _forget(self) -> None:
        self._inbox = None

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

        gc.freeze()  # what is imported stays, and to look through it at every collection is felt in the stream
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
        self._settle(message.model, failure)

    def _submit(self, generation: Generation, models: Residency) -> None:
        try:
            models.submit(generation)
        except EngineError as error:
            generation.end(error)
        except Exception as error:
            log.exception("a generation could not start")
            generation.end(EngineError(f"The engine failed: {error}"))


def _reason(error: BaseException) -> EngineError:
    if isinstance(error, ImportError):
        return EngineError(f"MLX can't run: {error}. {mlx_extras.how_to_install()}")
    return EngineError(f"The engine failed: {error}. The next prompt starts it afresh.")
