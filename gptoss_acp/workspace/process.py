"""Programs run on this machine: their own process group, no input, output as it comes, and nobody left behind.

Knows processes. Knows nothing about tools, permission or the editor.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import fcntl
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from gptoss_acp.errors import ToolError
from gptoss_acp.shielding import unharmed
from gptoss_acp.workspace import descendants, supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

GRACE_SECONDS = supervisor.GRACE_SECONDS
"""Between the request to end, SIGTERM, and its enforcement, SIGKILL."""

WAITED = "\n(it was waiting for somebody to type something)\n"
"""What is added to the output of a program that is ended while it does that."""

_SUPERVISED_SECONDS = 2 * supervisor.GRACE_SECONDS + 0.2
"""For a supervisor to end what it has started, by the same two steps."""

_OUTPUT_SECONDS = 0.1
_READ_SIZE = 64 * 1024
_HELPER_BUFFER = 2**20
_NAP_SECONDS = 0.002
_LONGEST_COMPLAINT = 4_000

# The watcher ends the group when our end of its input is gone: when the program has ended, or when this process has
# died, even of SIGKILL. It stays in the group, so that the group's number can't be given to others meanwhile.
_WATCHER = "(read -r _ <&3; trap '' TERM; kill -TERM -$$; sleep 1; kill -KILL -$$) >/dev/null 2>&1 &"

_WATCHED = f'exec 3<&0\n{_WATCHER}\nexec "$@" 3<&- </dev/null\n'

# A server needs all three of its standard files, so the watcher reads from the third, a socket that we hear it on.
_WATCHED_SERVER = f'exec 3<&2\n{_WATCHER}\nexec "$@" 3<&-\n'


async def run(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    on_output: Callable[[str], None],
    *,
    within: Sequence[str] = (),
    started_in: str | None = None,
    on_start: Callable[[int], None] = lambda _: None,
) -> int:
    """Run a program to its end and return its exit code, 128 + the signal's number where a signal ended it.

    `within` are the words before its own that start it in a sandbox or supervised, `started_in` is another name of its
    folder; `on_start` gets the number of the process. When the program has ended, or the call is cancelled, what is
    left of its process group is ended too.

    Raises:
        ToolError: it can't be started.
    """
    program = _find(command[0], cwd, environment)
    with contextlib.ExitStack() as ours:
        words = [*within, program, *command[1:]]
        output, process = await _start(words, started_in or str(cwd), environment, ours)
        on_start(process.pid)
        reading = asyncio.create_task(_read(output, on_output))
        ending = asyncio.create_task(process.wait())
        try:
            await asyncio.shield(ending)
            await asyncio.wait([reading], timeout=_OUTPUT_SECONDS)
        except asyncio.CancelledError:
            if descendants.waits_at_terminal(process.pid):
                on_output(WAITED)
            raise
        finally:
            await unharmed(_end_group(process, [reading, ending], within))
        code = ending.result()
    return 128 - code if code < 0 else code


@contextlib.asynccontextmanager
async def watched_server(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], within: Sequence[str] = ()
) -> AsyncIterator[tuple[list[str], TextIO, Complaints]]:
    """Give what it takes to start a server on pipes: its command, its stderr, and what it will say there.

    `within` are the words before its own that start it in a sandbox. It must lead a process group of its own, which
    ends at the latest with this context or this process.

    Raises:
        ToolError: there is no such program.
    """
    program = _find(command[0], cwd, environment)
    ours, theirs = socket.socketpair()
    with theirs, theirs.makefile("w") as stderr:
        transport, complaints = await asyncio.get_running_loop().create_connection(Complaints, sock=ours)
        try:
            yield ["/bin/sh", "-c", _WATCHED_SERVER, "sh", *within, program, *command[1:]], stderr, complaints
        finally:
            transport.close()


class Complaints(asyncio.Protocol):
    """What a program writes to stderr, of which the end is kept."""

    def __init__(self) -> None:
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_LONGEST_COMPLAINT:]

    def last_line(self) -> str:
        """Return the last line that is not blank, or nothing."""
        lines = self._tail.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


async def _start(
    command: Sequence[str], cwd: str, environment: Mapping[str, str], ours: contextlib.ExitStack
) -> tuple[asyncio.StreamReader, asyncio.subprocess.Process]:
    """Start a watched program; return its output and the process. When `ours` is closed, the watcher ends them all."""
    # Plain pipes, because asyncio's own make `wait` wait for whoever else holds them.
    with contextlib.ExitStack() as theirs:
        output_read, output_write = os.pipe()
        theirs.callback(os.close, output_write)
        pipe = ours.enter_context(open(output_read, "rb", buffering=0))  # noqa: PTH123, ASYNC230 (a descriptor)
        alive_read, alive_write = os.pipe()
        theirs.callback(os.close, alive_read)
        ours.callback(os.close, alive_write)
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        ours.callback(transport.close)
        try:
            # Last, because a cancellation finds no process to end before this has returned.
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", _WATCHED, "sh", *command),
                cwd=cwd,
                env=dict(environment),
                stdin=alive_read,
                stdout=output_write,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(f"{command[0]} could not be started: {error.strerror}") from None
    return reader, process


async def _read(output: asyncio.StreamReader, on_output: Callable[[str], None]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while chunk := await output.read(_READ_SIZE):
        on_output(decoder.decode(chunk))
        if len(chunk) == _READ_SIZE:
            await asyncio.sleep(0.005)  # a program that floods us leaves time for others


async def _end_group(
    process: asyncio.subprocess.Process, tasks: Sequence[asyncio.Task[object]], within: Sequence[str]
) -> None:
    """End every process of the group, gently first; return when the program is gone and its output read."""
    if not all(task.done() for task in tasks):
        supervised = supervisor.is_started_by(within)
        if within and not supervised:
            await asyncio.to_thread(_signal_inside, process.pid, within[0], signal.SIGTERM)
        else:
            _signal_group(process.pid, signal.SIGTERM)
        await asyncio.wait(tasks, timeout=_SUPERVISED_SECONDS if supervised else GRACE_SECONDS)
    _signal_group(process.pid, signal.SIGKILL)
    await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    for task in tasks:
        task.cancel()


def _signal_inside(sandbox: int, program: str, number: signal.Signals) -> None:
    """Signal what runs in a sandbox, and not the sandbox itself, which would end all at once."""
    for inside in descendants.below(sandbox):
        with contextlib.suppress(OSError):
            if str(Path("/proc", str(inside), "exe").readlink()) != program:
                os.kill(inside, number)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _find(program: str, cwd: Path, environment: Mapping[str, str]) -> str:
    path = cwd / program
    found = shutil.which(str(path) if "/" in program else program, path=environment.get("PATH"))
    if found is None:
        why = "command not found"
        if "/" in program and path.is_dir():
            why = "it is a folder"
        elif "/" in program and path.exists():
            why = "it is not executable; run it with its interpreter, or chmod +x it"
        raise ToolError(f"{program[:200]}: {why}")
    return found


async def lines(
    command: Sequence[str],
    cwd: str,
    stdin: int = subprocess.DEVNULL,
    *,
    end: bytes = b"\n",
    on_complaints: Callable[[list[bytes]], None] = lambda _: None,
) -> AsyncGenerator[list[bytes], None]:
    """Run a helper of ours and yield the lines it prints, without their `end`, as many at a time as are there.

    Closing the iterator kills it. The lines that it writes to stderr go to `on_complaints`, as many at a time.
    """
    (output, to_output), (errors, to_errors) = _pipe(), _pipe()
    with output, errors:
        with to_output, to_errors:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=cwd, stdin=stdin, stdout=to_output, stderr=to_errors, start_new_session=True
            )
        complaining = asyncio.create_task(_pass_on(errors, on_complaints))
        try:
            async for batch in _batches(output, end):
                yield batch
            await complaining
            await process.wait()  # to kill one that has just ended would take its exit code from those who wait for it
        finally:
            complaining.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _pipe() -> tuple[io.FileIO, io.FileIO]:
    """Return the two ends of a pipe that holds much: to be woken for each little piece costs more than to search."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, _HELPER_BUFFER)
    return io.FileIO(reading, "rb"), io.FileIO(writing, "wb")


async def _batches(pipe: io.FileIO, end: bytes) -> AsyncIterator[list[bytes]]:
    rest = b""
    while (chunk := pipe.read(_HELPER_BUFFER)) != b"":
        if chunk:
            *whole, rest = (rest + chunk).split(end)
            if whole:
                yield whole
        await asyncio.sleep(_NAP_SECONDS)
    if rest:
        yield [rest]


async def _pass_on(pipe: io.FileIO, told: Callable[[list[bytes]], None]) -> None:
    async for batch in _batches(pipe, b"\n"):
        told(batch)
