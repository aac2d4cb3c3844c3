"""Locks between processes, as locked files: the system frees them when their owner ends, however it ends.

Knows files. Knows nothing about sessions or the database.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_SECONDS = 0.3
"""How long a lock is waited for whose owner may be about to end, or only looks whether it is held."""

_POLL_SECONDS = 0.01


class HeldError(Exception):
    """The lock is held by the process `owner`, which may be this one; None where the file does not say."""

    def __init__(self, owner: int | None) -> None:
        super().__init__(owner)
        self.owner = owner


class Lock:
    """A held lock. Its file names the owner's process, and goes when the lock is released."""

    def __init__(self, path: Path, patience: float = PATIENCE_SECONDS) -> None:
        """Take the lock, waiting for it as many seconds as `patience`.

        Raises:
            HeldError: somebody else holds it, and goes on doing so.
            OSError: the file can't be made.
        """
        self._path = path
        self._descriptor = _locked(path, patience)
        with contextlib.suppress(OSError):  # a full disk; the process's number is only for the message
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        # Removed while still held: whoever has opened this file meanwhile sees that it is no longer the one in place.
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)


def clear(folder: Path) -> None:
    """Remove the files of locks whose owners are gone."""
    for path in folder.glob("*"):
        with contextlib.suppress(HeldError, OSError):
            Lock(path, patience=0).release()


@contextlib.contextmanager
def hold(path: Path, seconds: float) -> Iterator[None]:
    """Hold a lock whose file stays, waiting `seconds` at most for others to release it.

    Raises:
        TimeoutError: somebody else held it all the time.
        OSError: the file can't be made.
    """
    descriptor = _open(path)
    try:
        if not _wait(descriptor, seconds):
            raise TimeoutError("another process holds it")
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path, patience: float) -> int:
    while True:
        descriptor = _open(path)
        if not _wait(descriptor, patience):
            owner = os.pread(descriptor, 20, 0)
            os.close(descriptor)
            raise HeldError(int(owner) if owner.isdigit() else None)
        if _in_place(descriptor, path):
            return descriptor
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _wait(descriptor: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)


def _in_place(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
