"""What is measured of a checkpoint on a device: our engine and mlx-lm alone, in turns.

Prompts are random ids, for random weights; each is new, so that nothing of it is warm. The first round of each
measurement warms both sides up and does not count.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

from benchmark.figures import BenchError
from benchmark.reference import Generation, Reference

from device import mlx_lm_load
from device.our_engine import OurEngine

OURS, RAW = "ours", "raw"

NEXT_TURN_TOKENS = 50
ANSWER_TOKENS = 16
SESSIONS = 8
SHORT_PROMPT_TOKENS = 64
TOKENS_BEFORE_CANCEL = 20

ORDINARY_IDS = range(1000, 190_000)

ROOM_BESIDE = 6 * 10**9
"""Bytes for the contexts and buffers of two models."""


class Side(Protocol):
    """Our engine or mlx-lm alone."""

    def generate(self, prompt: Sequence[int], max_tokens: int) -> Generation: ...

    def generate_turns(self, turns: Sequence[Sequence[int]], max_tokens: int) -> list[Generation]: ...

    def generate_batch(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Generation]: ...


@dataclass
class Measured:
    """What there is so far: seconds, or tokens per second, of each round by what was measured and of which side."""

    device: dict[str, Any] = field(default_factory=dict)
    in_turns: bool = True
    samples: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    memory: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """How often each measurement is taken, and no more often once it has taken `seconds`; how long texts are."""

    rounds: int
    seconds: float
    prompt_tokens: int
    decoded_tokens: int

    @property
    def cancelled_tokens(self) -> int:
        """Tokens of a prompt whose prefill is cancelled."""
        return 4 * self.prompt_tokens


def measure(model: str, plan: Plan, measured: Measured) -> None:
    """Fill `measured`. Where the device has no room for the weights twice, mlx-lm is measured after ours has gone.

    Raises:
        BenchError: something did not work; what was measured before is in `measured`.
    """
    measured.samples["load"][RAW].append(mlx_lm_load.seconds(model))
    with OurEngine(model) as ours, contextlib.ExitStack() as beside:
        measured.device = ours.device
        measured.samples["load"][OURS].append(ours.device["load_seconds"])
        measured.in_turns = have_room_for_two(ours.device)
        sides: dict[str, Side] = {OURS: ours}
        if measured.in_turns:
            sides[RAW] = beside.enter_context(Reference(model, stop_tokens=()))
        _compare(sides, plan, measured)
        measured.memory = ours.memory()
        _cancel(ours, plan, measured)
        measured.memory = ours.memory()
    if not measured.in_turns:
        with Reference(model, stop_tokens=()) as raw:
            _compare({RAW: raw}, plan, measured)


def have_room_for_two(device: Mapping[str, Any]) -> bool:
    size = device["memory_bytes"]
    return not size or 2 * device["active_bytes"] + ROOM_BESIDE <= size


def _compare(sides: Mapping[str, Side], plan: Plan, measured: Measured) -> None:
    measurements: tuple[Callable[[Side, random.Random, Plan], dict[str, float]], ...] = (
        _first_token,
        _alone,
        _together,
    )
    for number, once in enumerate(measurements):
        started = time.perf_counter()
        for counted in range(plan.rounds + 1):
            for name, side in sides.items():
                found = once(side, random.Random(1000 * number + counted), plan)
                for what, value in found.items() if counted else ():
                    measured.samples[what][name].append(value)
            if counted and time.perf_counter() - started > plan.seconds:
                break


def _first_token(side: Side, chance: random.Random, plan: Plan) -> dict[str, float]:
    turns = [_ids(chance, plan.prompt_tokens), _ids(chance, NEXT_TURN_TOKENS)]
    cold, warm = side.generate_turns(turns, min(ANSWER_TOKENS, plan.decoded_tokens))
    return {"cold": cold.seconds[0], "warm": warm.seconds[0]}


def _alone(side: Side, chance: random.Random, plan: Plan) -> dict[str, float]:
    generation = side.generate(_ids(chance, SHORT_PROMPT_TOKENS), plan.decoded_tokens)
    return {"alone": rate([generation])}


def _together(side: Side, chance: random.Random, plan: Plan) -> dict[str, float]:
    prompts = [_ids(chance, SHORT_PROMPT_TOKENS) for _ in range(SESSIONS)]
    return {"together": rate(side.generate_batch(prompts, plan.decoded_tokens))}


def rate(generations: Sequence[Generation]) -> float:
    """Return the tokens per second of all together, from the first of any to the last of all."""
    tokens = sum(len(generation.tokens) for generation in generations) - len(generations)
    first = min(generation.seconds[0] for generation in generations)
    return tokens / (max(generation.seconds[-1] for generation in generations) - first)


def _cancel(ours: OurEngine, plan: Plan, measured: Measured) -> None:
    """Cancel at random moments: within a decode step, and in the first quarter of a prefill."""
    chance = random.Random(4)
    step = 1 / median(measured.samples["alone"][OURS])
    prefill = median(measured.samples["cold"][OURS])
    for what, length, tokens, longest in (
        ("cancel in decode", SHORT_PROMPT_TOKENS, TOKENS_BEFORE_CANCEL, step),
        ("cancel in prefill", plan.cancelled_tokens, 0, prefill),
    ):
        started = time.perf_counter()
        waits = []
        for _ in range(2 * plan.rounds):
            waits.append(ours.cancel(_ids(chance, length), tokens, chance.random() * longest))
            if time.perf_counter() - started > plan.seconds:
                break
        measured.samples[what][OURS] += [wait for wait in waits if wait is not None]
        if not measured.samples[what][OURS]:
            raise BenchError(f"the prefill of {length} tokens was always over before its cancel")


def _ids(chance: random.Random, count: int) -> list[int]:
    return chance.choices(ORDINARY_IDS, k=count)
