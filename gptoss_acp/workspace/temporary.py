"""The sessions' folders for what is temporary: held by the process that has made them, and removed with it or after it.

Knows folders and locks. Knows nothing about sandboxes.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

PREFIX = "gptoss-acp-session-"

YOUNG_SECONDS = 60.0
"""In which a folder that nobody holds may have been made just now."""


class TemporaryFolder:
    """A new folder at `path`, for this user alone."""

    def __init__(self) -> None:
        """Make and hold it.

        Raises:
            OSError: that can't be.
        """
        self.path = Path(os.path.realpath(tempfile.mkdtemp(prefix=PREFIX)))
        self._held = contextlib.ExitStack()
        with contextlib.suppress(OSError):  # there are file systems without locks, where nobody else removes it either
            self._held.enter_context(_held(self.path))

    def remove(self) -> None:
        """Remove it, with all that is in it."""
        with self._held:
            _remove(self.path)


def remove_abandoned() -> None:
    """Remove the folders whose processes have ended without doing so."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # such as one that somebody holds
            found = path.lstat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > YOUNG_SECONDS:
                with _held(path):
                    _remove(path)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path, ignore_errors=True)
    except RecursionError:  # a command can nest folders deeper than Python can follow
        log.warning("%s is not removed", path)
