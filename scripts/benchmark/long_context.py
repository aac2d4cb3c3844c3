"""Reading and answering prompts of thousands of tokens, beside mlx-lm alone: how fast, and in how much memory.

The engine alone is measured, on ids by chance. A prompt of the longest takes minutes on a processor, so the longer, the
fewer runs.
"""

from __future__ import annotations

import random
from statistics import median

from benchmark.checkpoint import contexts_gb
from benchmark.decode import rate
from benchmark.engine import EngineProcess
from benchmark.figures import BenchError, Figure, Plan
from benchmark.reference import Reference

TOKENS = 48
"""Sampled after each prompt."""

LENGTHS = {8_192: 1.08, 32_768: 1.03, 65_536: None}
"""Tokens of a prompt, and how fast decoding after it is at least, beside mlx-lm's, if that has a target."""


def measure(plan: Plan) -> list[Figure]:
    lengths = {1_024: None, 2_048: 1.08} if plan.quick else LENGTHS
    figures = []
    with EngineProcess(plan.model) as engine, Reference(plan.model, stop_tokens=()) as reference:
        engine.generate(_prompt(500, 0), TOKENS)
        reference.generate(_prompt(500, 0), TOKENS)
        for tokens, decode_target in lengths.items():
            runs = max(1, min(plan.runs, 32_768 // tokens))
            figures += _compare(plan, tokens, decode_target, runs, engine, reference)
    return figures


def _compare(
    plan: Plan, tokens: int, decode_target: float | None, runs: int, engine: EngineProcess, reference: Reference
) -> list[Figure]:
    read, decoded, taken = [], [], []
    for run in range(runs):
        prompt = _prompt(tokens, run)
        ours, raw = engine.generate(prompt, TOKENS), reference.generate(prompt, TOKENS)
        if ours.cached or len(ours.times) < TOKENS:
            raise BenchError(f"of {tokens:,} tokens {ours.cached} were warm, and {len(ours.times)} were sampled")
        read.append((ours.seconds, raw.seconds[0]))
        decoded.append((rate(ours.times), rate(raw.seconds)))
        taken.append(float(ours.nbytes))
    computed = contexts_gb(plan.model, tokens) * 1e9
    return [
        _ratio(f"{tokens:,} tokens: reading them / raw", read, "s", 1.0, at_least=False),
        _ratio(f"{tokens:,} tokens: decode after them / raw", decoded, "tokens/s", decode_target, at_least=True),
        Figure(
            f"{tokens:,} tokens: what is kept of the context / as computed",
            median(taken) / computed,
            1.15,
            detail=f"{median(taken) / 1e6:.1f} / {computed / 1e6:.1f} MB",
            samples={"nbytes": taken},
        ),
    ]


def _ratio(name: str, pairs: list[tuple[float, float]], unit: str, target: float | None, *, at_least: bool) -> Figure:
    ours, raw = ([pair[side] for pair in pairs] for side in (0, 1))
    return Figure(
        name,
        median(one / other for one, other in pairs),
        target,
        at_least=at_least,
        detail=f"{median(ours):.2f} / {median(raw):.2f} {unit}, {len(pairs)} runs; the engine alone",
        samples={"ours": ours, "raw": raw},
    )


def _prompt(tokens: int, seed: int) -> list[int]:
    chosen = random.Random(f"{tokens} {seed}")
    return [chosen.randrange(1_000, 150_000) for _ in range(tokens)]
