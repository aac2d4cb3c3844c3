"""Which systems this program runs on: those that MLX is built for.

Knows what a system says of itself. Every start of the program asks, so importing it costs next to nothing.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass

LEAST_DARWIN = 23
"""The kernel of macOS 14. Its version is asked, for macOS tells old programs an old version of itself."""

LEAST_GLIBC = (2, 35)

_SUPPORTED = "gptoss-acp runs on macOS 14 or newer on Apple silicon, and on Linux with glibc 2.35 or newer"


@dataclass(frozen=True)
class System:
    """A system as it says itself.

    `kind` is sys.platform's word, `machine` the processor that Python is built for, `kernel` the kernel's version;
    `libc` is how glibc names itself, empty where the C library is another.
    """

    kind: str
    machine: str
    kernel: str
    libc: str = ""


def here() -> System:
    """Return this system."""
    return System(sys.platform, platform.machine(), platform.release(), _libc())


def problem(system: System) -> str | None:
    """Return a sentence where a system is too old or of the wrong kind, None where this program runs on it."""
    if system.kind == "darwin":
        short = _short_of_mac(system)
    elif system.kind == "linux":
        short = _short_of_linux(system)
    else:
        short = f"this system is another ({system.kind})"
    return f"{_SUPPORTED}; {short}." if short else None


def _short_of_mac(system: System) -> str | None:
    if system.machine != "arm64":
        return f"this Mac, or the Python that runs here, is one for Intel ({system.machine})"
    if _version(system.kernel)[0] < LEAST_DARWIN:
        return f"this macOS is older (Darwin {system.kernel})"
    return None


def _short_of_linux(system: System) -> str | None:
    if not system.libc:
        return "this Linux has another C library"
    return f"this Linux has {system.libc}" if _version(system.libc) < LEAST_GLIBC else None


def _version(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _libc() -> str:
    if sys.platform != "linux":
        return ""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):  # musl knows no such name
        return ""
