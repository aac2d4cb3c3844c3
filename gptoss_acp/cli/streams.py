"""What a command says, and where it goes: streams that are closed, know ASCII alone, or whose reader has seen enough.

Knows stdin, stdout and stderr. Knows nothing about what is said.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from typing import TextIO


def make_ready(*, ends_with_reader: bool) -> None:
    """Let everything be said: what a stream has no characters for by their code points, into a closed one nothing.

    A closed one has nothing to read either.

    `ends_with_reader`: so that `| head` works the process may end at once, for it holds nothing that must be let go.
    """
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 (as long as we run)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for name in ("COLUMNS", "LINES"):
        if os.environ.get(name) == "0":  # not known, say some terminals; nothing would fit
            del os.environ[name]
    if ends_with_reader and hasattr(signal, "SIGPIPE"):  # not on Windows, where `doctor` says that it does not run
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


class Unheeded:
    """A stream on which nothing depends: what it does not take is lost, and the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()
