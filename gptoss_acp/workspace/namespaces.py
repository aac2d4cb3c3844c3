"""Linux' namespaces: a process goes where another one is, to see and reach what that one does, and no more.

Knows setns(2) and ioctl_ns(2). Also read by the supervisor, and so quick to import.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct

from gptoss_acp.workspace import libc

_KINDS = ("ipc", "uts", "cgroup", "net", "pid", "mnt")
_OWNER = 0xB701  # NS_GET_USERNS
_DROP_FROM_BOUNDING_SET = 24
_CAPABILITY_VERSION = 0x20080522


def mounts_of(process: int) -> int:
    """Return the number of a process's mount namespace.

    Raises:
        OSError: it has ended, or is not this user's.
    """
    return os.stat(f"/proc/{process}/ns/mnt").st_ino  # noqa: PTH116


def join(process: int, mounts: int) -> None:
    """Go into the namespaces of a process of this user's; only what is started from now on is in its pid namespace.

    `mounts` is the number of its mount namespace, by which it is known. What the joined namespaces would allow, their
    root's capabilities, is given up.

    Raises:
        OSError: it has ended, is another one by now or in our own namespaces, or is not this user's.
    """
    with contextlib.ExitStack() as opened:

        def open_namespace(path: str) -> int:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            opened.callback(os.close, descriptor)
            return descriptor

        there = {kind: open_namespace(f"/proc/{process}/ns/{kind}") for kind in (*_KINDS, "user")}
        if os.fstat(there["mnt"]).st_ino != mounts or not all(_differs(there[kind], kind) for kind in ("mnt", "pid")):
            raise ProcessLookupError(errno.ESRCH, "it has ended")
        owner = fcntl.ioctl(there["mnt"], _OWNER)
        opened.callback(os.close, owner)
        if _differs(owner, "user"):
            libc.checked(libc.load().setns(owner, 0))
        # All that differ are known before the first is entered: the last brings another /proc.
        different = [kind for kind in _KINDS if _differs(there[kind], kind)]
        inner_user = _differs(there["user"], "user")
        for kind in different:
            libc.checked(libc.load().setns(there[kind], 0))
        if inner_user:
            libc.checked(libc.load().setns(there["user"], 0))
    _give_up_capabilities()


def _differs(namespace: int, kind: str) -> bool:
    return os.fstat(namespace).st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino  # noqa: PTH116


def _give_up_capabilities() -> None:
    library = libc.load()
    for capability in range(64):
        if library.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0) < 0:
            break  # the last one is behind us, or there is none to give up
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    libc.checked(library.capset(header, struct.pack("6I", *[0] * 6)))
    libc.give_up_new_privileges()
