"""The life of the agent process: private stdio, start, end of input, signals, the parent's death, shutdown.

Knows which rooms to connect. Knows nothing about Harmony or MLX. Imports little, because an editor waits for the first
answer: what is slow to import is imported in the background after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_state_path

from gptoss_acp import own_files
from gptoss_acp.handshake import Handshake
from gptoss_acp.rpc import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import TextIOWrapper
    from types import FrameType

    from gptoss_acp.engine.api import Engine
    from gptoss_acp.settings import Settings
    from gptoss_acp.trace import Trace

log = logging.getLogger(__name__)

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SHUTDOWN_SECONDS = 0.4
LETTING_GO_SECONDS = 2.0
"""In which what the sessions have started ends, and what is not on the disk yet comes there; else hardly any time."""
WATCH_SECONDS = 0.4
LARGEST_LOG = 5 * 2**20


def run(settings: Settings, make_engine: Callable[[Settings], Engine], trace: Trace | None = None) -> None:
    """Serve one client on stdin and stdout until it is gone, then end the process with code 0."""
    for number in ENDING_SIGNALS:
        signal.signal(number, _exit_at_once)
    try:
        read_fd, write_fd = take_stdio()
    except OSError:  # no stdin or stdout: nobody to talk to
        os._exit(0)
    set_up_logging(settings.log_level)
    asyncio.run(_serve(settings, make_engine(settings), trace, read_fd, write_fd))


def take_stdio() -> tuple[int, int]:
    """Return private descriptors of stdin and stdout, and leave the null device and stderr in their place.

    From then on nothing that prints, in Python, in a library or in a child process, can reach the wire.

    Raises:
        OSError: stdin or stdout is closed.
    """
    # Above 2, for where stderr is closed its number would be the next one free.
    read_fd, write_fd = (fcntl.fcntl(standard, fcntl.F_DUPFD_CLOEXEC, 3) for standard in (0, 1))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # no stderr either
        os.dup2(null, 1)
        os.dup2(null, 2)
    os.close(null)
    return read_fd, write_fd


def set_up_logging(stderr_level: str | None) -> None:
    """Log to a file in the user's state folder; to stderr only where asked for, since some clients never read it."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    form = logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
    handlers: list[logging.Handler] = []
    with contextlib.suppress(OSError):
        handlers.append(_OwnFileHandler(_ready_log_file(), encoding="utf-8"))
    if stderr_level:
        root.setLevel(stderr_level.upper())
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(form)
    root.handlers = handlers or [logging.NullHandler()]
    logging.captureWarnings(capture=True)


def log_file() -> Path:
    """Return where the log is, or will be."""
    return user_state_path("gptoss-acp") / "gptoss-acp.log"


class _OwnFileHandler(logging.FileHandler):
    """Keeps the log for this user alone."""

    def _open(self) -> TextIOWrapper:
        descriptor = own_files.open_file(Path(self.baseFilename), os.O_WRONLY | os.O_APPEND)
        return open(descriptor, "a", encoding=self.encoding)  # noqa: PTH123 (a descriptor)


def _ready_log_file() -> Path:
    file = log_file()
    own_files.make_folder(file.parent)
    if file.is_file() and file.stat().st_size > LARGEST_LOG:
        file.replace(file.with_suffix(".log.old"))
    return file


async def _serve(settings: Settings, engine: Engine, trace: Trace | None, read_fd: int, write_fd: int) -> None:
    handshake = Handshake(engine, settings, trace)
    connection = Connection(
        read_fd,
        write_fd,
        requests=handshake.requests,
        notifications=handshake.notifications,
        trace=trace.line if trace else None,
    )
    handshake.attach(connection)
    connection.start()
    reason = await _end_of_life(connection, write_fd)
    log.info("ending: %s", reason)
    handshake.shut_down()
    await connection.finish(SHUTDOWN_SECONDS)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(handshake.let_go(), LETTING_GO_SECONDS)
    engine.close()
    logging.shutdown()
    # The engine's thread may be deep in a prefill chunk; nobody is left to wait for it.
    os._exit(0)


async def _end_of_life(connection: Connection, write_fd: int) -> str:
    """Return why the process should end: the client, a signal, or the parent's death."""
    loop = asyncio.get_running_loop()
    signalled: asyncio.Future[str] = loop.create_future()

    def note(name: str) -> None:
        if not signalled.done():
            signalled.set_result(name)

    for number in ENDING_SIGNALS:
        loop.add_signal_handler(number, note, number.name)
    reasons = {
        asyncio.ensure_future(signalled),
        asyncio.create_task(_closed(connection)),
        asyncio.create_task(_abandoned(write_fd)),
    }
    done, _ = await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
    return done.pop().result()


async def _closed(connection: Connection) -> str:
    await connection.wait_closed()
    return "the client closed the connection"


async def _abandoned(write_fd: int) -> str:
    """Return when the parent has died, or nobody can read our output any more."""
    parent = os.getppid()
    output = select.poll()
    output.register(write_fd, 0)
    while os.getppid() == parent:
        if any(event & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, event in output.poll(0)):
            return "the client closed our output"
        await asyncio.sleep(WATCH_SECONDS)
    return "the parent process died"


def _exit_at_once(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)
