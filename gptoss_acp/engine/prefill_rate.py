"""How much of a prompt is read at once: as much as this machine reads in a moment.

Knows rates and seconds. Knows nothing about prompts or models.
"""

from __future__ import annotations

CHUNK_SECONDS = 0.2
"""How long one prefill chunk should last: what a cancel, or another session's next token, waits for at most."""

SMALLEST_CHUNK = 16
LARGEST_CHUNK = 2048
FIRST_CHUNK = 256


class PrefillRate:
    """Tokens per second, from what the chunks so far have taken."""

    def __init__(self) -> None:
        self._tokens_per_second = FIRST_CHUNK / CHUNK_SECONDS

    def chunk(self, sequences: int = 1) -> int:
        """Return how many tokens to read of each of `sequences` that are read at once."""
        return max(SMALLEST_CHUNK, min(int(self._tokens_per_second * CHUNK_SECONDS / sequences), LARGEST_CHUNK))

    def note(self, tokens: int, seconds: float) -> None:
        """Learn that `tokens` in all have been read in `seconds`."""
        measured = tokens / max(seconds, 1e-6)
        # Down at once, up by halves: a chunk that lasts too long is felt, one that is too short is not.
        self._tokens_per_second = min(measured, (self._tokens_per_second + measured) / 2)
