"""Words on a console: in lines that fit, with paths and names whole, and with marks that it has characters for.

Knows terminals. Knows nothing about what is said.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console


def say(console: Console, said: str, style: str = "") -> None:
    """Print words, on a terminal in lines that fit; a path or a name is whole also where it is longer than one."""
    console.print(Text(_wrapped(console, said), style), soft_wrap=True)


def say_done(console: Console, said: str) -> None:
    """Print what has gone well, behind a mark."""
    text = Text(_wrapped(console, f"{marks(console).well} {said}"))
    text.stylize("green", 0, 1)
    console.print(text, soft_wrap=True)


def _wrapped(console: Console, said: str) -> str:
    if not console.is_terminal:
        return said
    return "\n".join(textwrap.wrap(said, console.width, break_long_words=False, break_on_hyphens=False))


@dataclass(frozen=True)
class Marks:
    """What stands before a line, and the name of what turns while something is under way."""

    well: str
    so_so: str
    wrong: str
    spinner: str


_MARKS = Marks("✓", "•", "✗", "dots")
_ASCII_MARKS = Marks("+", "*", "x", "line")


def marks(console: Console) -> Marks:
    """Return marks that a console has characters for."""
    return _MARKS if console.encoding.startswith("utf") else _ASCII_MARKS
