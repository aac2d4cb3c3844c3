"""Finds out that a model has begun to repeat itself. Knows token ids only.

A runaway never stops by itself, so there is time to be sure: what is made in earnest (a table, a row of zeros, "a
hundred times hello") repeats as well, but not for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gptoss_acp.harmony import encoding

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_BLOCK = 64
TIMES = 10
FEWEST_TOKENS = 256
"""So much has to be repetition, if its block holds a letter."""

FEWEST_TOKENS_WITHOUT_LETTERS = 1024
"""Dashes, zeros and blank cells are repeated in earnest more than words are."""


def repeated_block(tokens: Sequence[int]) -> int:
    """Return how long the block is that `tokens` repeats at its end, ten times or more, or 0.

    Costs tens of microseconds, so ask it now and then, not for every token.
    """
    last = tokens[-8:]
    for block in range(1, LONGEST_BLOCK + 1):
        if last == tokens[-8 - block : -block] and _repeats(tokens, block, FEWEST_TOKENS):
            # No longer block can say anything else, so this one decides.
            letters = any(map(str.isalpha, encoding.decode_text(tokens[-block:])))
            return block if letters or _repeats(tokens, block, FEWEST_TOKENS_WITHOUT_LETTERS) else 0
    return 0


def without_repetition(tokens: Sequence[int], block: int) -> Sequence[int]:
    """Return `tokens` with the block at its end only once."""
    end = len(tokens)
    while end > block and tokens[end - 1] == tokens[end - 1 - block]:
        end -= 1
    return tokens[:end]


def _repeats(tokens: Sequence[int], block: int, fewest: int) -> bool:
    length = max(TIMES * block, fewest)
    return len(tokens) >= length and tokens[-length:-block] == tokens[block - length :]
