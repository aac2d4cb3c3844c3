"""The C library's functions that Python has no names for. Also read by the supervisor, and so quick to import."""

from __future__ import annotations

import ctypes
import os

_NO_NEW_PRIVILEGES = 38


def load() -> ctypes.CDLL:
    """Return the library that this process has."""
    return ctypes.CDLL(None, use_errno=True)


def checked(answer: int) -> int:
    """Return what a function of it has answered.

    Raises:
        OSError: it has failed.
    """
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer


def give_up_new_privileges() -> None:
    """Let no program that this process becomes or starts have more rights than it (PR_SET_NO_NEW_PRIVS, prctl(2)).

    Raises:
        OSError: the kernel refuses.
    """
    checked(load().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
