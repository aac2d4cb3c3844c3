"""The debugging record of `--trace`: every line and every token. The only place that shows reasoning.

Knows a file. Knows nothing about what a line or a token means.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class Trace:
    """A file that everything is written to, each token with what `decode` makes of it."""

    def __init__(self, path: Path, decode: Callable[[int], str]) -> None:
        self._decode = decode
        # A pipe that nobody reads would be waited for; this way it is an error.
        descriptor = os.open(
            path.expanduser(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600
        )
        self._file = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)

    def line(self, direction: str, line: bytes) -> None:
        self._file.write(f"{direction} {line.decode(errors='replace')}\n")

    def prompt(self, tokens: Sequence[int]) -> None:
        self._file.write(f"prompt {' '.join(map(str, tokens))}\n")

    def token(self, token: int) -> None:
        self._file.write(f"token {token} {self._decode(token)!r}\n")
