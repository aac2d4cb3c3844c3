"""Which processes a process has started, and those have, to the last.

Knows `/proc` and, where there is none, `ps`. Also read by the supervisor, and so quick to import.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from pathlib import Path


def below(root: int) -> list[int]:
    """Return the numbers of the processes below `root`, each behind the one that has started it."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for process, parent in _parents():
        children[parent].append(process)
    found, waiting = [], [root]
    while waiting:
        inner = children.pop(waiting.pop(), [])
        found += inner
        waiting += inner
    return found


def _parents() -> list[tuple[int, int]]:
    if not Path("/proc/self/stat").exists():
        with os.popen("/bin/ps -axo pid=,ppid=") as listed:  # noqa: S605 (no word of it is another's)
            return [(int(process), int(parent)) for process, parent in map(str.split, listed)]
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 (names are all that is wanted)
        with contextlib.suppress(OSError):
            if name.isdecimal():
                # Behind the program's name, which may hold anything, come the state and the parent (proc_pid_stat(5)).
                state = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()
                found.append((int(name), int(state[1])))
    return found
