"""Reads files that users and editors keep: whatever lies in their place, none makes us wait, or read without an end.

Knows kinds of files and sizes. Knows nothing about what a file says.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody writes to; not on Windows, where `doctor` runs


def read(file: Path, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes, or of one that a link leads to.

    Raises:
        OSError: it can't be read, is no regular file, or is larger; its `strerror` says so.
    """
    descriptor = os.open(file, os.O_RDONLY | _AT_ONCE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        with open(descriptor, "rb", closefd=False) as opened:
            content = opened.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most / 2**20:g} MiB")
    return content
