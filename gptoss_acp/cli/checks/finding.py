"""What a check finds: one line of `gptoss-acp doctor`, and the words of which it is made.

Knows nothing about what is checked, nor about terminals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gptoss_acp.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gptoss_acp.settings import Settings

    Check = Callable[[Settings], Iterable["Finding"]]

State = Literal["ok", "look", "fix"]

UNBROKEN = "\u00a0"
"""A blank at which no line is broken. `visible` leaves no other in what comes from outside."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, what was found there, and what to do where that is not well."""

    name: str
    state: State
    found: str
    advice: str = ""


def whole(text: str | Path) -> str:
    """Return a path or a command as it stands in a finding, where no line is broken in it."""
    return visible(str(text), keep="").replace(" ", UNBROKEN)


def plain(text: str) -> str:
    """Return a finding's words as they are to be read, without anything that a terminal would obey."""
    return visible(text, keep=UNBROKEN).replace(UNBROKEN, " ")


def readable(size: float) -> str:
    """Return a number of bytes as people read it."""
    for unit, nbytes in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= nbytes:
            return f"{size / nbytes:.1f}{UNBROKEN}{unit}"
    return f"{size:.0f}{UNBROKEN}bytes"
