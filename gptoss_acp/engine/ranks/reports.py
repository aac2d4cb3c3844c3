"""What passes between the launched process and its ranks, besides the engine's messages: values, and nothing that runs.

The launched process writes a `Start` and then messages to rank 0, which writes reports back, and to each other rank a
`Start` and then all that it does itself, in that order. These are pickles: they only go from a process to those that it
or its user has started, who obey it anyway. Of what other machines say, only text is read.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gptoss_acp.engine.api import EngineOptions, Figures
    from gptoss_acp.engine.messages import Status


@dataclass(frozen=True)
class Start:
    """How a process becomes a rank: of which MLX's `backend`, with which variables, and files that variables name."""

    rank: int
    size: int
    backend: str
    variables: dict[str, str]
    files: dict[str, str]
    options: EngineOptions
    measures: bool = False
    """Whether the ranks measure their link, and then end."""
    build_matcher: Callable[..., Any] | None = None
    followers: tuple[int, ...] = ()
    """File descriptors, inherited by rank 0, of the other ranks' inputs."""


# From rank 0 to the others, beside messages


@dataclass(frozen=True, slots=True)
class Step:
    """Do one step of everything that runs."""


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """Go on with loading, after what was told since the last of these."""


@dataclass(frozen=True, slots=True)
class Learn:
    """Note what a chunk of the model that was loaded as the `number`th has taken, and its longest layer."""

    number: int
    tokens: int
    seconds: float
    longest: float


# From rank 0 to the launched process


@dataclass(frozen=True, slots=True)
class Ready:
    """All ranks have found each other."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a sum of one token's numbers over all ranks takes, and how fast one of many numbers is."""

    seconds: float
    bytes_per_second: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Rank 0 can't go on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Begun:
    number: int


@dataclass(frozen=True, slots=True)
class Token:
    number: int
    token: int


@dataclass(frozen=True, slots=True)
class Paused:
    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A generation has ended; `error` says why where it failed."""

    number: int
    figures: Figures
    error: str | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A load has ended; `error` says why where it failed."""

    model: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Changed:
    """A model's status is another, and all of them take `memory` bytes on rank 0."""

    model: str
    status: Status
    memory: int


def send(value: Any, stream: IO[bytes]) -> None:
    """Write a value at once.

    Raises:
        OSError: nobody reads it any more.
    """
    stream.write(pickle.dumps(value))
    stream.flush()


def read(stream: IO[bytes]) -> Iterator[Any]:
    """Yield what is sent, until its sender has ended."""
    while True:
        try:
            yield pickle.load(stream)  # noqa: S301 (see above)
        except (EOFError, OSError, pickle.UnpicklingError):  # cut short is ended too
            return
