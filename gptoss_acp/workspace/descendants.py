"""Which processes a process has started, and those have, to the last.

Knows `/proc` and, where there is none, `ps`. Also read by the supervisor, and so quick to import.
"""

from __future__ import annotations

import os

_READ = {"x86_64": "0", "aarch64": "63"}
"""The number of read(2)."""


def below(root: int) -> list[int]:
    """Return the numbers of the processes below `root`, each behind the one that has started it."""
    children: dict[int, list[int]] = {}
    for process, parent in _parents():
        children.setdefault(parent, []).append(process)
    found, waiting = [], [root]
    while waiting:
        inner = children.pop(waiting.pop(), [])
        found += inner
        waiting += inner
    return found


def waits_at_terminal(root: int) -> bool:
    """Whether a process below `root` waits for what somebody types; only Linux tells (proc_pid_syscall(5))."""
    return any(_reads_terminal(process) for process in below(root))


def _reads_terminal(process: int) -> bool:
    try:
        with open(f"/proc/{process}/syscall") as file:  # noqa: PTH123 (pathlib is slow to import)
            number, *arguments = file.read().split()
        if number != _READ.get(os.uname().machine):
            return False
        return os.readlink(f"/proc/{process}/fd/{int(arguments[0], 16)}").startswith(("/dev/pts/", "/dev/tty"))  # noqa: PTH115
    except (OSError, ValueError, IndexError):
        return False


def _parents() -> list[tuple[int, int]]:
    if not os.path.exists("/proc/self/stat"):  # noqa: PTH110 (pathlib is slow to import)
        with os.popen("/bin/ps -axo pid=,ppid=") as listed:  # noqa: S605 (no word of it is another's)
            return [(int(process), int(parent)) for process, parent in map(str.split, listed)]
    return [(int(name), parent) for name in os.listdir("/proc") if name.isdecimal() and (parent := _parent(name))]  # noqa: PTH208


def _parent(process: str) -> int:
    """Return the number of a process's parent, 0 where it has none or has ended."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123
            # Behind the program's name, which may hold anything, come the state and the parent (proc_pid_stat(5)).
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0
