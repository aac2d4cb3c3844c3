"""The programs of a session that go on while it does, servers say, and that its later commands reach.

In a sandbox each command has namespaces of its own. While something runs in the background, commands within the same
limits share those of a program of ours that does nothing. Knows processes. Knows nothing about permission.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gptoss_acp import own_files
from gptoss_acp.errors import ToolError
from gptoss_acp.shielding import unharmed
from gptoss_acp.text import HeadAndTail, clip_line, code_span
from gptoss_acp.workspace import descendants, namespaces

if TYPE_CHECKING:
    from pathlib import Path

    from gptoss_acp.workspace.view import Limits

MOST_RUNNING = 16

START_SECONDS = 1.5
"""For which a program is watched that has just been started; many that fail do so at once."""

LARGEST_LOG = 5 * 2**20
"""Characters of a program's output in one file; what comes before is kept in another one, once."""

_MOST_ENDED = 20
"""Programs that have ended and are still told of."""

_LONGEST_OUTPUT = 8_000
_READY_SECONDS = 10.0

_READY = "gptoss-acp is ready"
HOLDING = ("/bin/sh", "-c", f"echo {_READY}; exec tail -f /dev/null")
"""What says that it runs, and then does nothing."""

Running = Callable[..., Coroutine[Any, Any, int]]
"""`process.run` with all but what becomes of the output."""


@dataclass(slots=True)
class Program:
    """A program in the background.

    `code` is its exit code once it has ended, `output` what it has written, within bounds; all goes to the file `log`.
    Times are in nanoseconds of the system's clock.
    """

    number: int
    line: str
    log: Path
    code: int | None = None
    output: HeadAndTail = field(default_factory=lambda: HeadAndTail(_LONGEST_OUTPUT))
    started_at: int = field(default_factory=time.time_ns)
    ended_at: float = math.inf
    problem: str = ""

    @property
    def has_ended(self) -> bool:
        return self.ended_at < math.inf

    def __str__(self) -> str:
        minutes = (time.time_ns() - self.started_at) / 60e9
        state = "stopped" if self.has_ended else f"running for {minutes:.0f} min"
        state = state if self.code is None else f"has ended with exit code {self.code}"
        return f"{self.number}. {code_span(clip_line(self.line, 80))}, {state}"


class Background:
    """The programs of one session that have been started in the background, and where later commands join them."""

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self._numbers = itertools.count(1)
        self._running: dict[asyncio.Task[None], Limits | None] = {}
        self._held: dict[Limits, _Held] = {}
        self._ending: set[asyncio.Task[int]] = set()

    @property
    def is_running(self) -> bool:
        return bool(self._running)

    @property
    def worked(self) -> list[tuple[int, float]]:
        """From when to when each has run, in nanoseconds of the system's clock."""
        return [(program.started_at, program.ended_at) for program in self.programs]

    def joined(self, limits: Limits | None) -> str | None:
        """Return the process whose namespaces commands within `limits` are to join; None where nothing runs in any."""
        held = self._held.get(limits) if limits else None
        if limits is None or held is None or held.task.done():
            return None
        if limits not in self._running.values():
            held.task.cancel()  # only now: commands that have joined it would have ended with it
            self._ending.add(self._held.pop(limits).task)
            return None
        return held.inside

    async def hold(self, limits: Limits, running: Running) -> str:
        """Return a process whose namespaces commands within `limits` can join; `running` runs `HOLDING` in new ones.

        Raises:
            ToolError: they can't be made.
        """
        held = self._held.get(limits)
        if held is None or held.task.done():
            held = self._held[limits] = await _hold(running)
        return held.inside

    async def start(self, line: str, running: Running, limits: Limits | None, logs: Path) -> Program:
        """Start a program, shown as `line`, and return after a moment, for it to fail in if it does.

        Raises:
            ToolError: it can't be started, or too many are running.
        """
        if len(self._running) >= MOST_RUNNING:
            raise ToolError(f"{MOST_RUNNING} commands are running in the background; end one of them with kill")
        number = next(self._numbers)
        program = Program(number, line, logs / f"background-{number}.log")
        task = asyncio.create_task(_run(program, running))
        self._running[task] = limits
        task.add_done_callback(self._running.pop)
        ended = [other for other in self.programs if other.has_ended]
        self.programs = [other for other in self.programs if other not in ended[:-_MOST_ENDED]] + [program]
        try:
            await asyncio.wait([task], timeout=START_SECONDS)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if program.problem:
            self.programs.remove(program)
            raise ToolError(program.problem)
        return program

    async def stop(self) -> None:
        """End all of them."""
        for tasks in (list(self._running), [*self._ending, *(held.task for held in self._held.values())]):
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)


async def _run(program: Program, running: Running) -> None:
    try:
        with _Log(program.log) as log:

            def add(text: str) -> None:
                program.output.add(text)
                log.add(text)

            program.code = await running(add)
            log.add(f"\n(it has ended with exit code {program.code})\n")
    except ToolError as error:
        program.problem = str(error)
    except OSError as error:
        program.problem = f"its output can't be kept in {program.log.name}: {error.strerror}"
    finally:
        program.ended_at = time.time_ns()


@dataclass(slots=True)
class _Held:
    """Namespaces that a program of ours keeps, and a process in them, as `supervisor.words` is told of it."""

    task: asyncio.Task[int]
    inside: str


async def _hold(running: Running) -> _Held:
    ready = asyncio.Event()
    outside: list[int] = []
    said = HeadAndTail(_LONGEST_OUTPUT)

    def hear(text: str) -> None:
        said.add(text)
        if _READY in str(said):
            ready.set()

    task = asyncio.create_task(running(hear, on_start=outside.append))
    waiting = asyncio.create_task(ready.wait())
    inside = None
    try:
        await asyncio.wait([task, waiting], timeout=_READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if ready.is_set():
            inside = await asyncio.to_thread(_found_inside, outside[0])
    finally:
        waiting.cancel()
        if inside is None:
            task.cancel()
            await unharmed(asyncio.wait([task]))
    if inside is None:
        raise ToolError(f"the sandbox for what runs in the background could not be made: {str(said).strip()[:300]}")
    return _Held(task, inside)


def _found_inside(outside: int) -> str | None:
    """Return a process below this one that has other mounts than we have, and their number."""
    with contextlib.suppress(OSError):
        for process in reversed(descendants.below(outside)):
            if (mounts := namespaces.mounts_of(process)) != namespaces.mounts_of(os.getpid()):
                return f"{process}:{mounts}"
    return None


class _Log(contextlib.AbstractContextManager["_Log"]):
    """A file with a program's output, that commands can read and, in their sandbox, do anything with.

    Written through one descriptor, for its name may become another file's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._descriptor = own_files.open_file(path, os.O_WRONLY | os.O_EXCL)

    def add(self, text: str) -> None:
        if self._size > LARGEST_LOG:
            with contextlib.suppress(OSError):  # the command has its hands on the names
                self._begin_another()
        with contextlib.suppress(OSError):  # a full disk, say, ends no server
            os.write(self._descriptor, text.encode(errors="replace"))
            self._size += len(text)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def _begin_another(self) -> None:
        os.replace(self._path, f"{self._path}.1")  # noqa: PTH105 (the name of a link is moved, not followed)
        full, self._descriptor = self._descriptor, own_files.open_file(self._path, os.O_WRONLY | os.O_EXCL)
        os.close(full)
        self._size = 0
