"""What is said to the engine's thread, and what it lets others read of its models: values, and nothing that runs.

Knows names, numbers and token ids. Knows nothing about who sends a message, nor what the thread does with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from gptoss_acp.engine.api import LoadProgress

if TYPE_CHECKING:
    from pathlib import Path

    from gptoss_acp.engine.api import Constraint, Sampling


@dataclass(frozen=True, slots=True)
class Load:
    """Bring a model into memory, from the checkpoint in `folder`; None is the bundled one."""

    model: str
    folder: Path | None


@dataclass(frozen=True, slots=True)
class Unload:
    """Let go of every model that generates nothing."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Generate after `prompt`: the generation `number`, unlike all others of the engine.

    `branches` are lengths of the prompt after which other prompts may differ.
    """

    model: str
    number: int
    prompt: tuple[int, ...]
    sampling: Sampling
    branches: tuple[int, ...] = ()
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a generation."""

    number: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop a generation for a while, whose tokens are not read, where its reader is in another process."""

    number: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with a generation that was paused, for its tokens have been read."""

    number: int


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """Read `tokens` while there is nothing else to do, because a prompt will begin with them."""

    model: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """Let go of everything, and end."""


Message: TypeAlias = Load | Unload | Submit | Cancel | Pause | Resume | ReadAhead | Close

NOTHING_READ = LoadProgress()


@dataclass(frozen=True, slots=True)
class Status:
    """A model as the thread sees it. `context_length` is the last one known, 0 before the first load."""

    loaded: bool = False
    context_length: int = 0
    progress: LoadProgress = NOTHING_READ
