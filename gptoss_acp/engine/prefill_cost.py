"""How much of a prompt is read at once, and how much of that between two looks at what else there is to do.

A chunk of n tokens takes a + b n seconds: a for the weights, since each chunk reads nearly all experts, and b for each
token. So a chunk is long enough for a to matter little. And it is computed layer by layer, as many at once as a moment
holds: others, and a cancel, wait for that moment only. Layers are not alike, though: on a long context those with full
attention take most of a chunk's time. So it counts what the longest of the chunk before has taken. Knows tokens, layers
and seconds. Knows nothing about prompts or models.
"""

from __future__ import annotations

from dataclasses import dataclass

MOMENT_SECONDS = 0.2
"""How long reading goes on at once: what a cancel, or another session's next token, waits for at most."""

FIXED_SHARE = 0.1
"""How much of a chunk's time its fixed cost may take."""

AHEAD_SECONDS = 1.0
"""How long a chunk may last that is read while there is nothing else to do: a prompt that comes waits for its end."""

SMALLEST_CHUNK = 128
LARGEST_CHUNK = 2048
"""Tokens; the first chunk is of the smallest size, and the next is longer, to learn both a and b."""

LONGER = 4
"""How many times as long the next chunk is, while one size is known."""

LEAST_TOLD = 32
"""Tokens; fewer use few of the experts, and tell nothing about what a chunk costs."""


@dataclass(slots=True)
class _Mean:
    """What chunks of about one size have taken, the last ones most of all."""

    tokens: float
    seconds: float

    def note(self, tokens: int, seconds: float) -> None:
        self.tokens += (tokens - self.tokens) / 2
        self.seconds += (seconds - self.seconds) / 2


class PrefillCost:
    """The a and b of a model of `layers`, from what its chunks so far have taken."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._means: dict[int, _Mean] = {}  # by the chunks' size, to the next power of two
        self._last = (0, 0.0)  # tokens of the chunk before, and the seconds that its longest layer has taken

    def chunk(self) -> int:
        """Return how many tokens to read in one chunk; those of several prompts share it."""
        if not self._means:
            return SMALLEST_CHUNK
        # One layer is computed without a pause.
        most = min(self._tokens_in(MOMENT_SECONDS * self._layers), self._tokens_in_a_moment)
        if self._knows_one_size:
            return min(most, LONGER * SMALLEST_CHUNK)
        return min(most, self._tokens_in(max(MOMENT_SECONDS, self._fit()[0] / FIXED_SHARE)))

    def chunk_ahead(self) -> int:
        """Return how many tokens to read of what nobody waits for yet."""
        return min(self.chunk(), self._tokens_in(AHEAD_SECONDS)) if self._means else SMALLEST_CHUNK

    def layers(self, tokens: int) -> int:
        """Return how many layers of a chunk of `tokens` to compute at once."""
        if not self._means:
            return 1
        seconds = self._seconds(tokens)
        before, longest = self._last
        layer = seconds / self._layers
        if longest:
            layer = max(layer, longest * seconds / max(self._seconds(before), 1e-9))
        return max(1, min(int(MOMENT_SECONDS / max(layer, 1e-9)), self._layers))

    def note(self, tokens: int, seconds: float, longest: float = 0.0) -> None:
        """Learn that a chunk of `tokens` has taken `seconds`, and its `longest` layer so many of them, 0 if unknown."""
        if tokens >= LEAST_TOLD:
            size = tokens.bit_length()
            self._means.setdefault(size, _Mean(tokens, seconds)).note(tokens, seconds)
            if longest:
                self._last = tokens, longest

    @property
    def _tokens_in_a_moment(self) -> int:
        """How long a chunk may be for its longest layer to last a moment."""
        tokens, longest = self._last
        if longest * LARGEST_CHUNK <= tokens * MOMENT_SECONDS:
            return LARGEST_CHUNK
        return max(SMALLEST_CHUNK, int(tokens * MOMENT_SECONDS / longest))

    def _seconds(self, tokens: int) -> float:
        # Of one size it is not known which part is fixed, so a shorter chunk is taken to last as long.
        known = next(iter(self._means.values())).tokens if self._knows_one_size else 0
        fixed, per_token = self._fit()
        return fixed + per_token * max(tokens, known)

    def _tokens_in(self, seconds: float) -> int:
        fixed, per_token = self._fit()
        return max(SMALLEST_CHUNK, min(int((seconds - fixed) / max(per_token, 1e-9)), LARGEST_CHUNK))

    @property
    def _ends(self) -> tuple[_Mean, _Mean]:
        return self._means[min(self._means)], self._means[max(self._means)]

    @property
    def _knows_one_size(self) -> bool:
        short, long = self._ends
        return long.tokens < 2 * short.tokens

    def _fit(self) -> tuple[float, float]:
        """Return a and b, neither below 0: the line through what the shortest and the longest chunks have taken."""
        short, long = self._ends
        if self._knows_one_size:
            return 0.0, long.seconds / long.tokens
        per_token = max(0.0, (long.seconds - short.seconds) / (long.tokens - short.tokens))
        return max(0.0, long.seconds - per_token * long.tokens), per_token
