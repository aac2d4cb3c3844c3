"""What drives the models of several engines, and who waits for it: this process's thread, or the ranks of several.

A generation or a load is noted here before the driver hears of it, and until it has ended. When what drives the models
ends, whatever the reason, these are who is told, and the next that comes begins it afresh: so nobody ever waits for
what is no more. Knows messages and who waits. Knows nothing about arrays, or where these are.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from gptoss_acp.engine.api import EngineError
from gptoss_acp.engine.messages import NOTHING_READ, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from gptoss_acp.engine.generation import Generation
    from gptoss_acp.engine.messages import Cancel, Close, Load, Message, Pause, ReadAhead, Resume, Unload

LONGEST_REASON = 500
"""Characters; mlx-lm names every weight that is missing."""


class Driver(ABC):
    """What all have in common. Every public method may be called on any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._generations: dict[int, Generation] = {}
        self._loads: dict[str, Future[None]] = {}
        self._statuses: dict[str, Status] = {}

    def start(self) -> None:
        """Begin what takes long, unless it has been begun; where that can't be, the first load will say so."""
        with self._lock, contextlib.suppress(EngineError):
            self._living()

    def load(self, message: Load) -> Future[None]:
        """Return what is done when the model is in memory, or ends with an EngineError.

        Raises:
            EngineError: there is nothing to load it into.
        """
        with self._lock:
            tell = self._living()
            loaded = self._loads.get(message.model)
            if loaded is None:
                loaded = self._loads[message.model] = Future()
                loaded.set_running_or_notify_cancel()  # who gives up waiting does not stop the load
                tell(message)
            return loaded

    def submit(self, generation: Generation) -> None:
        """Begin a generation, some time; whatever happens then, it will be ended.

        Raises:
            EngineError: there is nothing to begin it in.
        """
        request = generation.request
        with self._lock:
            tell = self._living()
            self._generations = {number: one for number, one in self._generations.items() if not one.ended}
            self._generations[request.number] = generation
            tell(request)

    def status(self, model: str) -> Status:
        return self._statuses.get(model, Status())

    @abstractmethod
    def send(self, message: Cancel | Pause | Resume | ReadAhead | Unload | Close) -> None:
        """Tell what lives; to what does not, and has nothing in memory, it would mean nothing."""

    @abstractmethod
    def memory_bytes(self) -> int:
        """Return the bytes that all models and their contexts take on this machine."""

    @abstractmethod
    def machines(self) -> str:
        """Return which machines the models are on, "" where there is this one only."""

    @abstractmethod
    def _living(self) -> Callable[[Message], object]:
        """Return what hands over a message; begins what drives the models, if nothing does. Called under the lock.

        Raises:
            EngineError: that can't be.
        """

    @abstractmethod
    def _forget(self) -> None:
        """Forget what has driven the models, which is no more. Called under the lock."""

    def _settle(self, model: str, error: EngineError | None) -> None:
        """Tell who waits for a load that it has ended, and whether well."""
        with self._lock:
            loaded = self._loads.pop(model, None)
        if loaded is None:
            return
        if error is None:
            loaded.set_result(None)
        else:
            loaded.set_exception(error)

    def _end_all(self, reason: EngineError) -> None:
        """Tell all who wait that nothing drives the models any more."""
        with self._lock:
            self._forget()
            for model, status in self._statuses.items():
                self._statuses[model] = replace(status, loaded=False, progress=NOTHING_READ)
            generations, self._generations = self._generations, {}
            loads, self._loads = self._loads, {}
        for generation in generations.values():
            generation.end(reason)
        for load in loads.values():
            load.set_exception(reason)
