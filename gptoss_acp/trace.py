"""The debugging record of `--trace`: every line and every token. The only place that shows reasoning.

Knows a file. Knows nothing about what a line or a token means.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from gptoss_acp import own_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)


class Trace:
    """A file that everything is written to, each token with what `decode` makes of it, while it can be written."""

    def __init__(self, path: Path, decode: Callable[[int], str]) -> None:
        self._decode = decode
        # A pipe that nobody reads would be waited for; this way it is an error.
        descriptor = own_files.open_file(path.expanduser(), os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
        os.set_blocking(descriptor, True)  # one that is read slowly is waited for
        self._file = os.fdopen(descriptor, "ab", buffering=0)
        self._failed = False

    def line(self, direction: str, line: bytes) -> None:
        self._write(f"{direction} {line.decode(errors='replace')}\n")

    def prompt(self, tokens: Sequence[int]) -> None:
        self._write(f"prompt {' '.join(map(str, tokens))}\n")

    def token(self, token: int) -> None:
        self._write(f"token {token} {self._decode(token)!r}\n")

    def _write(self, entry: str) -> None:
        rest = memoryview(entry.encode())
        try:
            while rest and not self._failed:
                rest = rest[self._file.write(rest) :]
        except OSError as error:  # the disk is full, or nobody reads the pipe any more
            self._failed = True
            log.warning("the trace ends here: %s", error)
