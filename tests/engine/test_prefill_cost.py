"""How much is read at once: so much that the fixed cost hardly counts, and no moment is longer than was promised."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gptoss_acp.engine.prefill_cost import (
    AHEAD_SECONDS,
    LARGEST_CHUNK,
    LEAST_TOLD,
    LONGER,
    MOMENT_SECONDS,
    SMALLEST_CHUNK,
    PrefillCost,
)


@dataclass
class Machine:
    """A chunk of n tokens takes `fixed + per_token * n` seconds here, each of `layers` as long as the others."""

    name: str
    fixed: float
    per_token: float
    layers: int
    chunk: int

    def seconds(self, tokens: int) -> float:
        return self.fixed + self.per_token * tokens

    def layer(self, number: int, tokens: int, before: int) -> float:  # all alike, on any context
        return self.seconds(tokens) / self.layers


class Uneven(Machine):
    """One layer in two has full attention: what it takes for a token grows with the context."""

    def layer(self, number: int, tokens: int, before: int) -> float:
        alike = super().layer(number, tokens, before)
        return alike + number % 2 * tokens * (before + tokens / 2) * 0.1e-6


M1_PRO = Machine("M1 Pro, 20b", 0.4, 1 / 400, 24, chunk=1440)
MACHINES = [
    M1_PRO,
    Machine("M4 Max, 20b", 0.15, 1 / 1500, 24, chunk=2025),
    Machine("M4 Max, 120b", 0.25, 1 / 700, 36, chunk=1575),
    Machine("H100 as measured, 20b", 0.1, 0.87e-3, 24, chunk=1034),
    Machine("two cores, the bundled model", 0.004, 1 / 2500, 4, chunk=490),
    Machine("two cores, 20b", 2.0, 1 / 20, 24, chunk=128),
]


@dataclass
class Reading:
    """What came of reading a prompt: the sizes of the chunks, and each moment that nothing else was done in."""

    chunks: list[int]
    moments: list[float]


def read(machine: Machine, tokens: int) -> Reading:
    cost = PrefillCost(machine.layers)
    reading = Reading([], [])
    before = 0
    while before < tokens:
        chunk = min(cost.chunk(), tokens - before)
        moments, longest, done = [], 0.0, 0
        while done < machine.layers:
            layers = min(cost.layers(chunk), machine.layers - done)
            moments.append(sum(machine.layer(number, chunk, before) for number in range(done, done + layers)))
            longest = max(longest, moments[-1] / layers)
            done += layers
        cost.note(chunk, sum(moments), longest)
        reading.moments += moments
        reading.chunks.append(chunk)
        before += chunk
    return reading


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_long_prompt_is_read_about_as_fast_as_in_one_piece(machine: Machine) -> None:
    reading = read(machine, 32_000)
    assert reading.chunks[-2] == pytest.approx(machine.chunk, rel=0.02)
    # 128 tokens are the least, whatever a layer of them takes.
    if machine.chunk > SMALLEST_CHUNK:
        assert sum(reading.moments) <= 1.15 * machine.seconds(32_000)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_others_wait_for_a_moment_or_for_one_layer(machine: Machine) -> None:
    one_layer = machine.seconds(SMALLEST_CHUNK) / machine.layers
    assert max(read(machine, 32_000).moments) <= max(MOMENT_SECONDS * 1.01, one_layer)


def test_where_one_layer_takes_most_of_a_chunk_others_still_wait_for_little_more_than_a_moment() -> None:
    reading = read(Uneven("two cores, the bundled model", 0.004, 1 / 2500, 4, chunk=490), 8_000)
    assert max(reading.moments) <= 1.3 * MOMENT_SECONDS
    assert SMALLEST_CHUNK <= reading.chunks[-2] < reading.chunks[5]


def test_the_first_chunk_is_short_and_computed_layer_by_layer() -> None:
    assert (PrefillCost(24).chunk(), PrefillCost(24).layers(SMALLEST_CHUNK)) == (SMALLEST_CHUNK, 1)


def test_what_nobody_waits_for_keeps_a_prompt_that_comes_waiting_for_a_second_at_most() -> None:
    cost = PrefillCost(M1_PRO.layers)
    for chunk in (128, 512):
        cost.note(chunk, M1_PRO.seconds(chunk))
    assert M1_PRO.seconds(cost.chunk_ahead()) == pytest.approx(AHEAD_SECONDS, rel=0.02)
    assert M1_PRO.seconds(cost.chunk()) > 3 * AHEAD_SECONDS


def test_a_machine_that_has_become_slow_shortens_the_moments() -> None:
    cost = PrefillCost(24)
    for _ in range(3):
        cost.note(2000, 2.0)
    before = cost.layers(2000)
    for _ in range(3):
        cost.note(2000, 6.0)
    assert cost.layers(2000) <= before / 2


def test_a_few_tokens_tell_nothing() -> None:
    cost = PrefillCost(24)
    cost.note(LEAST_TOLD - 1, 60.0)
    assert cost.chunk() == PrefillCost(24).chunk()


@pytest.mark.parametrize(
    ("tokens", "seconds", "chunk"), [(64, 60.0, SMALLEST_CHUNK), (10**9, 0.0, LONGER * SMALLEST_CHUNK)]
)
def test_a_chunk_is_neither_absurdly_short_nor_long(tokens: int, seconds: float, chunk: int) -> None:
    cost = PrefillCost(24)
    cost.note(tokens, seconds)
    assert cost.chunk() == chunk


def test_short_chunks_that_took_as_long_as_long_ones_do_not_mislead() -> None:
    cost = PrefillCost(24)
    cost.note(128, 1.0)
    cost.note(1024, 1.0)
    assert SMALLEST_CHUNK <= cost.chunk() <= LARGEST_CHUNK
    assert 1 <= cost.layers(2048) <= 24
