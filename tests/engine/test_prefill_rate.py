"""How much is read at once: what the machine has shown that it can, and less at once when it is slower."""

from __future__ import annotations

import pytest

from gptoss_acp.engine.prefill_rate import CHUNK_SECONDS, FIRST_CHUNK, LARGEST_CHUNK, SMALLEST_CHUNK, PrefillRate


def measured(*rates: float) -> PrefillRate:
    """Return what has read at each of `rates`, in tokens per second, in turn."""
    rate = PrefillRate()
    for tokens_per_second in rates:
        rate.note(1000, 1000 / tokens_per_second)
    return rate


def test_the_first_chunk_is_short() -> None:
    assert PrefillRate().chunk() == FIRST_CHUNK


def test_one_slow_chunk_makes_the_next_as_short_as_it_must_be() -> None:
    assert measured(500).chunk() == int(500 * CHUNK_SECONDS)
    assert measured(4000, 500).chunk() == int(500 * CHUNK_SECONDS)


def test_a_fast_chunk_makes_the_next_longer_by_half_the_difference() -> None:
    assert measured(500, 1500).chunk() == int(1000 * CHUNK_SECONDS)
    assert measured(500, 1500, 1500).chunk() == int(1250 * CHUNK_SECONDS)


def test_sequences_that_are_read_at_once_share_the_time() -> None:
    assert measured(1000).chunk(4) == int(1000 * CHUNK_SECONDS) // 4


@pytest.mark.parametrize(("tokens", "seconds", "chunk"), [(1, 60.0, SMALLEST_CHUNK), (10**9, 0.0, LARGEST_CHUNK)])
def test_a_chunk_is_neither_absurdly_short_nor_long(tokens: int, seconds: float, chunk: int) -> None:
    rate = PrefillRate()
    rate.note(tokens, seconds)
    assert rate.chunk() == chunk
