"""A command's output: as it stands on a terminal, within bounds, and where it does not fit, whole in a file.

Knows screens and files. Knows nothing about how it is shown, nor who runs what.
"""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING

from gptoss_acp import own_files
from gptoss_acp.text import HeadAndTail
from gptoss_acp.tools.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGEST_FILE = 50 * 2**20
"""Bytes of output that are kept in a file."""

_LONGEST_STREAM = 8_000


class CommandOutput:
    """The output of one command, of which `limit` characters are kept; `new_file` names a file for more than that.

    Once it is finished, `file` is that file, if one was needed; `file_is_whole`: all of the output is in it.
    """

    def __init__(self, limit: int, new_file: Callable[[], Path]) -> None:
        self.file: Path | None = None
        self.file_is_whole = True
        self._kept = HeadAndTail(limit)
        self._stream = HeadAndTail(_LONGEST_STREAM)
        self._screen = Screen(self._take)
        self._new_file = new_file
        self._descriptor: int | None = None
        self._size = 0

    def add(self, text: str) -> None:
        self._screen.add(text)

    def latest(self) -> str:
        """Return what there is to see while it comes: the beginning, and the last of it."""
        seen = copy.copy(self._stream)
        seen.add(str(self._screen))
        return str(seen)

    def finish(self) -> str:
        """Return what is kept of it; nothing more comes."""
        self._take(str(self._screen))
        if self._descriptor is not None:
            os.close(self._descriptor)
        return str(self._kept)

    def _take(self, text: str) -> None:
        if len(text) > self._kept.room or self._descriptor is not None:
            self._write(text if self._descriptor is not None else str(self._kept) + text)
        self._kept.add(text)
        self._stream.add(text)

    def _write(self, text: str) -> None:
        if not self.file_is_whole:
            return
        content = text.encode(errors="replace")
        try:
            if self._descriptor is None:
                file = self._new_file()
                self._descriptor = own_files.open_file(file, os.O_WRONLY | os.O_EXCL)
                self.file = file
            written = os.write(self._descriptor, content[: LARGEST_FILE - self._size])
        except OSError:  # a full disk; or the command has taken the name
            written = 0
        self._size += written
        self.file_is_whole = written == len(content)
