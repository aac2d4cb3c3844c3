"""Stands above a command and ends all that it has started, also what has left its process group.

On Linux what loses its parent comes to us; elsewhere only what still has one is found. It can confine the command by
Landlock before it starts, or start it where another one is. Run as a program of its own, and so quick to import.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import time

TYPE_CHECKING = False  # typing, contextlib and json would be half of what it takes to start
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

GRACE_SECONDS = 0.5
"""Between the request to end, SIGTERM, and its enforcement, SIGKILL."""

_BECOME_SUBREAPER, _BE_UNDUMPABLE = 36, 4
_POLL_SECONDS = 0.005
_REQUESTS = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT}
_CANNOT_RUN = 126


def words(cwd: str, *, writable: list[str] | None = None, network: bool = True, join: str | None = None) -> list[str]:
    """Return the words before those of a command that run it supervised in the resolved folder `cwd`.

    `writable`: all that Landlock lets it write; it has TCP only with the `network`. `join`: the numbers of a
    process and its mount namespace, in which, and its others, it is to run.
    """
    told = [f"cwd={cwd}", *(f"writable={path}" for path in writable or ())]
    told += [f"join={join}"] if join is not None else []
    told += ["landlock"] if writable is not None else []
    told += [] if network else ["no-tcp"]
    return [sys.executable, "-I", "-S", __file__, *told, "--"]


def is_started_by(words: Sequence[str]) -> bool:
    """Whether these words start a supervisor."""
    return __file__ in words


def main() -> None:
    end = sys.argv.index("--")
    told = [word.partition("=") for word in sys.argv[1:end]]
    one = {name: value for name, _, value in told}
    sys.path.append(__file__.rsplit("/", 3)[0])
    import gptoss_acp.workspace.descendants  # noqa: F401, PLC0415 (not to be found before, nor where we may go)

    signal.signal(signal.SIGCHLD, lambda *_: None)  # what is ignored can't be waited for
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *_REQUESTS})
    if "join" in one:
        _go_to(one["join"])
    if inside := os.fork():
        os._exit(_stand_before(inside))
    _check_folder(one["cwd"])
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)
        # Others in the namespaces joined shall not find, in /proc/…/exe, a file of the mounts that we came from.
        libc.prctl(_BE_UNDUMPABLE, 0, 0, 0, 0)
    if "landlock" in one:
        _confine([value for name, _, value in told if name == "writable"], network="no-tcp" not in one)
    os._exit(_supervise(sys.argv[end + 1 :]))


def _go_to(held: str) -> None:
    from gptoss_acp.workspace import namespaces  # noqa: PLC0415 (not to be found before)

    try:
        process, _, mounts = held.partition(":")
        namespaces.join(int(process), int(mounts))
    except OSError as error:
        _give_up(f"what runs in the background can't be reached: {error.strerror}")


def _stand_before(inside: int) -> int:
    """Wait for the process that supervises: one of its own, for we may have children already, who are none of it."""
    while True:
        number = signal.sigwait({signal.SIGCHLD, *_REQUESTS})
        if number != signal.SIGCHLD:
            os.kill(inside, number)
        elif (ended := os.waitpid(inside, os.WNOHANG))[0]:
            return _code(ended[1])


def _check_folder(cwd: str) -> None:
    try:
        os.chdir(cwd)
        where = os.getcwd()  # noqa: PTH109 (pathlib is slow to import)
    except OSError as error:
        _give_up(f"{cwd}: {error.strerror}")
    if where != cwd:
        _give_up(f"{cwd} is not where it was when it was asked about")


def _confine(writable: list[str], *, network: bool) -> None:
    from gptoss_acp.workspace import landlock  # noqa: PLC0415 (not to be found before)

    try:
        landlock.restrict(writable, network=network)
    except OSError as error:
        _give_up(f"Landlock does not work: {error.strerror}")


def _supervise(command: list[str]) -> int:
    child = os.fork()
    if child == 0:
        _become(command)
    code = None
    while code is None:
        number = signal.sigwait({signal.SIGCHLD, *_REQUESTS})
        if number == signal.SIGCHLD:
            code = _reaped().get(child)
        elif number != signal.SIGINT:  # that a terminal sends to all
            break
    return _end_all(child, code)


def _become(command: list[str]) -> NoReturn:
    for ours in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):  # the last two Python ignores
        signal.signal(ours, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, *_REQUESTS})
    try:
        os.execvp(command[0], command)  # noqa: S606 (that is what it is for)
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script that names no interpreter is the shell's (execvp(3))
            os.execv("/bin/sh", ["/bin/sh", *command])  # noqa: S606
        _give_up(f"{command[0]}: {error.strerror}")


def _end_all(child: int, code: int | None) -> int:
    """Return the exit code of the child, 128 + the signal's number where one ended it, when all below us is gone."""
    number, until = signal.SIGTERM, time.monotonic() + GRACE_SECONDS
    asked: set[int] = set()
    group = os.getpgrp() if code is None else 0  # what has asked us to end has asked all of our group
    while time.monotonic() < until + GRACE_SECONDS:  # what runs as somebody else can't be ended
        try:
            code = _reaped().get(child, code)
        except ChildProcessError:
            break
        if time.monotonic() > until:
            number = signal.SIGKILL
        _signal(number, asked, group)
        time.sleep(_POLL_SECONDS)
    return 128 + number if code is None else code


def _signal(number: signal.Signals, asked: set[int], group: int) -> None:
    """Signal what is below us: once, and not what is in the group that has got it, unless it is to be killed."""
    from gptoss_acp.workspace import descendants  # noqa: PLC0415 (not to be found before)

    for process in descendants.below(os.getpid()):
        try:
            if number == signal.SIGKILL or (process not in asked and os.getpgid(process) != group):
                os.kill(process, number)
        except OSError:  # it has ended, or is somebody else's
            pass
        asked.add(process)


def _reaped() -> dict[int, int]:
    """Return the exit codes of those that have ended.

    Raises:
        ChildProcessError: there is none any more, ended or not; and all have come to us.
    """
    codes: dict[int, int] = {}
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            if codes:
                return codes
            raise
        if process == 0:
            return codes
        codes[process] = _code(status)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _give_up(problem: str) -> NoReturn:
    sys.stderr.write(problem + "\n")
    sys.stderr.flush()
    os._exit(_CANNOT_RUN)


if __name__ == "__main__":
    main()
