"""What stands in the place of the engine's thread where a model is computed by several ranks.

The ranks begin when there is something to do. When one of them is lost, all end, whoever waits is told at once, and the
next prompt gets fresh ones. Knows messages and who waits, as `engine.thread` does, and what rank 0 reports. Knows
nothing about how a rank works.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from gptoss_acp.engine.api import BuildMatcher, EngineError, EngineOptions
from gptoss_acp.engine.driver import Driver
from gptoss_acp.engine.messages import Cancel, Close, Pause, ReadAhead, Resume, Unload
from gptoss_acp.engine.ranks import hostfile
from gptoss_acp.engine.ranks.processes import RankProcesses
from gptoss_acp.engine.ranks.reports import Begun, Changed, Ended, Loaded, Paused, Ready, Token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gptoss_acp.engine.generation import Generation

log = logging.getLogger(__name__)

UNANSWERED_SECONDS = 15.0
"""Much longer than what is computed at once."""


class RankSupervisor(Driver):
    """The ranks on the hosts of a file, and after a failure the next ones."""

    def __init__(self, hosts: Path, options: EngineOptions, build_matcher: BuildMatcher) -> None:
        super().__init__()
        self._file = hosts
        self._options = options
        self._build_matcher = build_matcher
        self._processes: RankProcesses | None = None
        self._first: dict[int, float] = {}
        self._pausing: set[int] = set()
        self._cancels: dict[int, threading.Timer] = {}
        self._memory = 0
        self._ready = False

    def send(self, message: Cancel | Pause | Resume | ReadAhead | Unload | Close) -> None:
        with self._lock:
            if self._processes is None:
                return
            if isinstance(message, Cancel):
                self._await_answer(message.number)
            if isinstance(message, Close):
                self._processes.close()
            else:
                self._processes.send(message)

    def memory_bytes(self) -> int:
        return self._memory

    def machines(self) -> str:
        """Return their names, as the file has them, and whether the ranks have found each other."""
        processes = self._processes
        if processes is None:
            return f"those of {self._file}, not started"
        state = "all there" if self._ready else "starting"
        each = ", ".join(f"{host.ssh} (rank {rank})" for rank, host in enumerate(processes.hosts))
        return f"{each}; joined by {processes.backend}, {state}"

    def wait(self, seconds: float) -> bool:
        """Return whether no process is left, within that time, after all were told to end."""
        processes = self._processes
        return processes is None or processes.wait(seconds)

    def _living(self) -> Callable[[Any], None]:
        if self._processes is None:
            hosts = hostfile.read(self._file)
            started = RankProcesses(hosts, self._options, self._build_matcher, self._heed, self._lose)
            self._processes = started
        return self._processes.send

    def _forget(self) -> None:
        self._processes = None
        self._memory = 0
        self._ready = False
        self._pausing.clear()
        self._first.clear()
        while self._cancels:
            self._cancels.popitem()[1].cancel()

    def _await_answer(self, number: int) -> None:
        timer = self._cancels[number] = threading.Timer(UNANSWERED_SECONDS, self._give_up, (number,))
        timer.daemon = True
        timer.start()

    # On other threads

    def _give_up(self, number: int) -> None:
        """End all ranks where a cancel has not been answered: one may wait for another that is frozen or cut off."""
        with self._lock:
            self._cancels.pop(number, None)
            generation, processes = self._generations.get(number), self._processes
        if processes is not None and generation is not None and generation.begun:
            processes.give_up(f"a cancel was not answered within {UNANSWERED_SECONDS:.0f} s")

    def _heed(self, report: Any) -> None:
        """Do what a report of rank 0 means for who waits."""
        match report:
            case Ready():
                self._ready = True
                log.info("all ranks are there")
            case Changed(model=model, status=status, memory=memory):
                self._statuses[model] = status
                self._memory = memory
            case Loaded(model=model, error=error):
                self._settle(model, None if error is None else EngineError(error))
            case Begun(number=number):
                self._generations[number].begin()
            case Token(number=number, token=token):
                self._put(self._generations[number], token)
            case Paused(number=number):
                self._pausing.discard(number)
                self._generations[number].pause()
            case Ended(number=number, figures=figures, error=error):
                with self._lock:
                    generation = self._generations.pop(number)
                self._pausing.discard(number)
                self._first.pop(number, None)
                if timer := self._cancels.pop(number, None):
                    timer.cancel()
                generation.figures = figures
                generation.end(None if error is None else EngineError(error))

    def _put(self, generation: Generation, token: int) -> None:
        number, figures = generation.request.number, generation.figures
        now = time.perf_counter()
        figures.generated_tokens += 1
        figures.decode_seconds = now - self._first.setdefault(number, now)
        generation.put(token)
        if generation.overfull and number not in self._pausing:
            self._pausing.add(number)
            self.send(Pause(number))

    def _lose(self, reason: str) -> None:
        self._end_all(EngineError(reason))
