"""Files that are nobody else's: the user's conversations, reasoning and contexts, on machines that others use too.

Knows permission bits. Knows nothing about what the files hold.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone; one that is there becomes so.

    Raises:
        OSError: it can't be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & _OTHERS:
        folder.chmod(0o700)


def open_file(path: Path, flags: int) -> int:
    """Open a file that only this user can read, made where it is missing, and return the descriptor.

    Raises:
        OSError: it can't be opened, or is a symlink.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    info = os.fstat(descriptor)
    if stat.S_ISREG(info.st_mode) and info.st_mode & _OTHERS:
        with contextlib.suppress(PermissionError):  # somebody else's, who has let us write there
            os.fchmod(descriptor, 0o600)
    return descriptor
