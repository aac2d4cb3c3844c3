"""Landlock, by which a Linux process gives up to write elsewhere, and TCP; for where bubblewrap does not work.

Says nothing about reading, and allows whole folders only. Knows the kernel's interface (landlock(7)). Also read by the
supervisor, and so quick to import.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from typing import TYPE_CHECKING

from gptoss_acp.workspace import libc

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST_VERSION = 4
"""Of Landlock's interface: the first that knows TCP, in Linux 6.7."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_TO_FILES = _WRITE_FILE | _TRUNCATE
_WRITES = _TO_FILES | sum(1 << bit for bit in range(4, 14))  # remove, make each kind of file, move between folders
_TCP = 1 | 1 << 1  # bind, connect

_DEVICES = (
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"),
    "/dev/shm",  # noqa: S108 (what programs share memory by)
)


def works() -> bool:
    """Whether this kernel has enough of it."""
    return sys.platform == "linux" and _syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG) >= LEAST_VERSION


def restrict(writable: Iterable[str], *, network: bool) -> None:
    """Let this process and all that it starts write only what is writable, and in it; without `network`, no TCP.

    Raises:
        OSError: the kernel refuses.
    """
    ruleset = libc.checked(_syscall(_CREATE_RULESET, struct.pack("QQ", _WRITES, 0 if network else _TCP), 16, 0))
    try:
        for path in (*writable, *_DEVICES):
            if os.path.exists(path):  # noqa: PTH110 (pathlib is slow to import)
                _allow(ruleset, path)
        libc.give_up_new_privileges()
        libc.checked(_syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _WRITES if stat.S_ISDIR(os.fstat(place).st_mode) else _TO_FILES
        libc.checked(_syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0))
    finally:
        os.close(place)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    # By number: the C library has no functions for them. The numbers are the same for every kind of machine.
    passed = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    return int(libc.load().syscall(ctypes.c_long(number), *passed))
