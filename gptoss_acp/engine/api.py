"""The engine as the rest of the program sees it: token ids go in, sampled token ids come out.

Knows nothing about text, messages, sessions or how a token is made.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from gptoss_acp.engine.generation import Generation

Constraint: TypeAlias = Hashable
"""What limits the tokens of a generation: a frozen value, whose meaning only a `BuildMatcher` knows."""

BuildMatcher = Callable[[Constraint, Sequence[int]], Any]
"""Takes a constraint and a prompt and returns what holds the tokens after it to that: an mlx-lm logits processor of
one generation. Called on the engine's thread, so it may import MLX."""


class EngineError(Exception):
    """The engine cannot do what was asked; the message says why and what to do."""


class ModelMissingError(EngineError):
    """The model's files are not on this machine, or not all of them; `Engine.download` helps where `downloadable`."""

    def __init__(self, message: str, *, downloadable: bool = False) -> None:
        super().__init__(message)
        self.downloadable = downloadable


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How many bytes of the weights are in memory, and of how many: 0 until that is known.

    `downloading`: or, before that, on this machine.
    """

    done: int = 0
    total: int = 0
    downloading: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample; `None` takes the model's own value, or gpt-oss's recommended 1.0."""

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine runs.

    A generation ends with one of `stop_tokens`; after one of `branch_tokens` the conversation goes on from the ids as
    sampled, so their cache is kept. Sizes are in GB of 10^9 bytes; `disk_gb` 0 stores nothing. `hosts` is the file that
    names the machines which compute the models together, if there are several.
    """

    stop_tokens: tuple[int, ...]
    branch_tokens: tuple[int, ...] = ()
    context_length: int | None = None
    memory_gb: float | None = None
    wired_gb: float | None = None
    disk_gb: float = 8.0
    idle_minutes: float = 30.0
    hosts: Path | None = None


@dataclass(slots=True)
class Figures:
    """What one generation took. Counts are tokens, times are seconds."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    first_token_seconds: float = 0.0
    decode_seconds: float = 0.0

    @property
    def decoded_tokens(self) -> int:
        """Tokens after the first one, which belongs to the prefill."""
        return max(0, self.generated_tokens - 1)

    @property
    def tokens_per_second(self) -> float:
        """Rate after the first token, 0 with fewer than two tokens."""
        return self.decoded_tokens / self.decode_seconds if self.decode_seconds else 0.0


@dataclass(slots=True)
class Usage:
    """What several generations took together. Counts are tokens, times are seconds."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    decode_seconds: float = 0.0
    decoded_tokens: int = 0

    @property
    def tokens_per_second(self) -> float | None:
        return self.decoded_tokens / self.decode_seconds if self.decode_seconds else None

    def add(self, figures: Figures) -> None:
        self.input_tokens += figures.prompt_tokens
        self.cached_tokens += figures.cached_tokens
        self.output_tokens += figures.generated_tokens
        self.decode_seconds += figures.decode_seconds
        self.decoded_tokens += figures.decoded_tokens


class Trace(Protocol):
    """Where the ids that the model sees and samples are recorded for debugging."""

    def prompt(self, tokens: Sequence[int]) -> None: ...

    def token(self, token: int) -> None: ...


class PromptTooLongError(EngineError):
    """The context does not hold the prompt."""

    def __init__(self, tokens: int, context_length: int) -> None:
        super().__init__(
            f"The conversation has {tokens} tokens, but the context holds {context_length}. "
            "Send less at once, /clear the conversation, or raise --context-length, "
            "or --memory-gb if memory is what limits it."
        )


class Model(Protocol):
    """A model that answers, many generations at once."""

    @property
    def model_name(self) -> str: ...

    @property
    def context_length(self) -> int:
        """Most tokens of a prompt and its answer together, as far as memory goes; 0 before the model is loaded."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that all models and their contexts take now."""
        ...

    @property
    def machines(self) -> str:
        """Which machines compute the model together, and how they are; "" where this one does it alone."""
        ...

    async def load(self) -> None:
        """Return when the model is ready to generate; if it may be, it is downloaded first.

        Raises:
            EngineError: it cannot be loaded.
        """
        ...

    def stop_download(self) -> None:
        """Stop the download that runs, if one does; it is taken up where it was left."""
        ...

    @property
    def load_progress(self) -> LoadProgress:
        """How far the load is that runs now."""
        ...

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        branches: Sequence[int] = (),
        constraint: Constraint | None = None,
    ) -> Generation:
        """Start to generate after `prompt`; call `load` first.

        `branches` are lengths of the prompt after which other prompts may differ, such as the system and developer
        messages' end: what comes before is kept for those.

        The last id that the generation yields is a stop token, or any other where a limit was reached.

        Raises:
            PromptTooLongError: the context has no room for a single token after the prompt.
        """
        ...

    def read_ahead(self, prefix: Sequence[int]) -> None:
        """Read `prefix` while there is nothing else to do, because a prompt will begin with it."""
        ...


class Engine(Model, Protocol):
    """A model, and how it comes to this machine and into its memory.

    `may_download`: its user has said that it may.
    """

    may_download: bool

    def other(self, model_name: str) -> Engine:
        """Return the engine of another model, which shares the machine with this one; of the same, the same."""
        ...

    def start(self) -> None:
        """Begin the slow imports in the background."""
        ...

    async def check_available(self) -> None:
        """Return when the model's files are on this machine.

        Raises:
            ModelMissingError: they are not.
            EngineError: it is no model that this engine runs.
        """
        ...

    async def download(self) -> None:
        """Return when the model's files are on this machine; several callers share one download.

        Raises:
            EngineError: they can't be had; the message says why and what to do.
        """
        ...

    def close(self) -> None:
        """Let go of everything, at once, the other engines too."""
        ...
