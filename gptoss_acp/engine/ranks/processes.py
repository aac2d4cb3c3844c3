"""The processes of all ranks: started together, watched, and ended together when the first one ends.

Rank 0 has the writing ends of the other ranks' inputs: so each ends with rank 0, and that with the launched process,
however these end. Ranks on other machines are started by ssh, which hands on the end of its input, too. Knows
processes, pipes and what goes through them. Knows nothing about what is generated.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import shlex
import signal
import subprocess
import threading
import time
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from gptoss_acp.engine.api import EngineError
from gptoss_acp.engine.driver import LONGEST_REASON
from gptoss_acp.engine.ranks import reports, versions
from gptoss_acp.engine.ranks.reports import Failed, Start

if TYPE_CHECKING:
    from collections.abc import Callable

    from gptoss_acp.engine.api import BuildMatcher, EngineOptions
    from gptoss_acp.engine.ranks.hostfile import Host, Hosts

log = logging.getLogger(__name__)

SSH = (
    *("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=3"),  # a machine without power says no good-bye
)

MODULE = "gptoss_acp.engine.ranks"

GREETING = f"{versions.GREETING}\n".encode()
"""What a rank hears first, as text: what other versions pickle may mean nothing there."""

CLOSING_SECONDS = 10.0
"""After which one that is frozen is killed; the others end by themselves sooner, in the middle of a load, too."""

TOGETHER_SECONDS = 0.1
"""How long after the first rank's end others' are looked at, to say which one it was that failed."""


class RankProcesses:
    """One process a rank, from now until one of them ends, when `ended` is told why; `heard` is told rank 0's reports.

    Both are called on threads of this object, and `ended` once.
    """

    def __init__(
        self,
        hosts: Hosts,
        options: EngineOptions,
        build_matcher: BuildMatcher | None,
        heard: Callable[[Any], None],
        ended: Callable[[str], None],
        *,
        measures: bool = False,
    ) -> None:
        """Start them; where `measures`, they do so, report a `Link`, and end.

        Raises:
            EngineError: that can't be.
        """
        self.hosts = hosts.hosts
        self.backend = hosts.backend or "ring"
        self._heard = heard
        self._ended = ended
        self._lock = threading.Lock()
        self._over = False
        self._closing = False
        self._reasons: dict[int, str] = {}
        self._last_words: dict[int, str] = {}
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            self._start(hosts, options, build_matcher, measures=measures)
        except OSError as error:
            self._kill()
            for process in self._processes:
                process.communicate()
            raise EngineError(f"The ranks can't be started: {error}") from error
        for rank in range(len(self.hosts)):
            threading.Thread(target=self._log, args=(rank,), name=f"rank-{rank}-log", daemon=True).start()
            threading.Thread(target=self._watch, args=(rank,), name=f"rank-{rank}", daemon=True).start()
        threading.Thread(target=self._write, name="rank-writer", daemon=True).start()

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def send(self, message: Any) -> None:
        """Let rank 0 obey a message; never blocks."""
        self._outbox.put(message)

    def give_up(self, reason: str) -> None:
        """End all, at once, because rank 0 does not do what it should."""
        self._reasons[0] = reason
        self._kill()

    def close(self) -> None:
        """End all, after what has been sent; one that is frozen would keep the others waiting, and is killed."""
        self._closing = True
        self._outbox.put(None)
        timer = threading.Timer(CLOSING_SECONDS, self._kill)
        timer.daemon = True
        timer.start()

    def wait(self, seconds: float) -> bool:
        """Return whether all have ended, within that time."""
        until = time.monotonic() + seconds
        try:
            for process in self._processes:
                process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _start(
        self, hosts: Hosts, options: EngineOptions, build_matcher: BuildMatcher | None, *, measures: bool
    ) -> None:
        pipes = [os.pipe() for _ in hosts.hosts[1:]]
        followers = tuple(write for _, write in pipes)
        environments = hosts.environments()
        try:
            for rank, host in enumerate(hosts.hosts):
                source = pipes[rank - 1][0] if rank else subprocess.PIPE
                self._processes.append(_process(host, source, () if rank else followers))
                start = Start(rank, len(hosts.hosts), hosts.mlx_backend, *environments[rank], options, measures)
                if rank:  # a few hundred bytes, which a pipe holds
                    os.write(followers[rank - 1], GREETING + pickle.dumps(start))
                else:
                    self.send(replace(start, build_matcher=build_matcher, followers=followers))
        finally:
            for descriptor in (end for pipe in pipes for end in pipe):
                os.close(descriptor)

    # On threads

    def _write(self) -> None:
        stream = self._processes[0].stdin
        assert stream is not None
        try:
            stream.write(GREETING)
            while (message := self._outbox.get()) is not None:
                reports.send(message, stream)
        except OSError:
            pass  # it has ended, which is seen elsewhere
        except Exception as error:
            log.exception("rank 0 can't be told what to do")
            self.give_up(str(error))
        with contextlib.suppress(OSError):
            stream.close()

    def _log(self, rank: int) -> None:
        """Hand on to the log what a rank says of itself, or ssh in its place."""
        stream = self._processes[rank].stderr
        assert stream is not None
        with stream:
            for line in stream:
                self._last_words[rank] = line.decode(errors="replace").strip()[:LONGEST_REASON]
                log.info("rank %d: %s", rank, self._last_words[rank])

    def _watch(self, rank: int) -> None:
        process = self._processes[rank]
        assert process.stdout is not None
        try:
            if rank == 0:
                self._hear_reports(process.stdout)
            else:
                for line in process.stdout:
                    self._reasons[rank] = line.decode(errors="replace").strip()[:LONGEST_REASON]
        except Exception:
            log.exception("what rank %d says is not understood", rank)
            self._kill()
        process.stdout.close()
        process.wait()
        with self._lock:
            first, self._over = not self._over, True
        if first:
            time.sleep(0 if self._closing else TOGETHER_SECONDS)
            reason = self._why()
            self._kill()
            self._outbox.put(None)
            self._ended(reason)

    def _hear_reports(self, output: IO[bytes]) -> None:
        for report in reports.read(output):
            if isinstance(report, Failed):
                self._reasons[0] = report.reason
                continue
            with self._lock:
                if not self._over:
                    self._heard(report)

    def _why(self) -> str:
        """Return who has ended, and why."""
        if self._closing:
            log.info("the ranks have ended, as they were told")
            return "The engine has ended. The next prompt starts it afresh."
        ended = [rank for rank, process in enumerate(self._processes) if process.poll() is not None]
        reason = "; ".join(f"rank {rank} ({self.hosts[rank].ssh}) {self._end_of(rank)}" for rank in ended)
        log.error("the ranks end: %s", reason)
        return f"The engine has lost a machine: {reason}. The next prompt starts all of them afresh."

    def _end_of(self, rank: int) -> str:
        code = self._processes[rank].returncode
        if reason := self._reasons.get(rank):
            return f"has failed: {reason}"
        if code < 0:
            known = -code in set(signal.Signals)  # not all real-time signals have names
            return f"was ended by {signal.Signals(-code).name if known else f'signal {-code}'}"
        return f"has ended with code {code}: {self._last_words.get(rank, 'it has said nothing')}"

    def _kill(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def command(host: Host, *arguments: str) -> list[str]:
    """Return what runs a host's Python there, with `arguments`."""
    if host.is_here:
        return [host.python, *arguments]
    return [*SSH, host.ssh, f"exec {shlex.join([host.python, *arguments])}"]


def _process(host: Host, source: int, inherited: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 (the user's own hosts)
        # Without -P it would import what lies in the working directory, which is the user's project.
        command(host, "-P", "-m", MODULE),
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=inherited,
        start_new_session=True,  # a Ctrl-C in the terminal is ours to answer
    )
