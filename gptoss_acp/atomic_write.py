"""A file's content is replaced all at once, or not at all.

Knows files, links, modes and owners. Knows nothing about what a file says.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def replace(file: Path, content: bytes) -> None:
    """Give a file this content, and make it where it is missing, for this user alone.

    A link stays one, and what was there leaves its mode and its owner.

    Raises:
        OSError: it can't be written, or is write-protected; then it is as it was.
    """
    target = Path(os.path.realpath(file))
    target.parent.mkdir(parents=True, exist_ok=True)
    there = target.exists()
    if there and not os.access(target, os.W_OK):
        raise PermissionError(0, "it is write-protected")
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with open(descriptor, "wb") as beside:  # noqa: PTH123 (a descriptor)
            beside.write(content)
            beside.flush()
            os.fsync(descriptor)
        if there:
            _take_over(target, Path(name))
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _take_over(old: Path, new: Path) -> None:
    """Give a file the mode and the owner of another."""
    info = old.stat()
    with contextlib.suppress(PermissionError):  # somebody else's, who has let us write there
        os.chown(new, info.st_uid, info.st_gid)
    new.chmod(info.st_mode & 0o7777)
