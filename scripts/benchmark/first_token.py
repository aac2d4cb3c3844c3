"""The time to the first token of a prompt that is wholly new, beside mlx-lm alone on the same prompt.

The engine alone is measured: through ACP no such prompt can be had, for the agent has read the system and developer
messages before the prompt comes, and keeps what a prompt goes on from however little memory there is.
"""

from __future__ import annotations

from statistics import median

from benchmark.engine import EngineProcess
from benchmark.figures import BenchError, Figure, Plan
from benchmark.prompts import rendered, text_of
from benchmark.reference import Reference

SHORT = 10
"""Tokens of the user's message in a short prompt; the rest are the system and developer messages."""


def measure(plan: Plan) -> list[Figure]:
    long = 500 if plan.quick else 2000
    with EngineProcess(plan.model) as engine, Reference(plan.model) as reference:
        return [
            _compare(plan, "short prompt", SHORT, 1.10, engine, reference),
            _compare(plan, f"cold {long:,}-token prompt", long, 1.05, engine, reference),
        ]


def _compare(plan: Plan, name: str, tokens: int, target: float, engine: EngineProcess, reference: Reference) -> Figure:
    ours, raw = [], []
    for run in range(-1, plan.runs):
        prompt = rendered(text_of(tokens, seed=1000 * tokens + run))
        first = engine.first_token(prompt)
        seconds = reference.generate(prompt, 1).seconds[0]
        if first.cached:
            raise BenchError(f"{first.cached} tokens of a cold prompt were warm")
        if run >= 0:  # the first run warms both up
            ours.append(first.seconds)
            raw.append(seconds)
    ratios = [one / other for one, other in zip(ours, raw, strict=True)]
    return Figure(
        f"time to first token / raw, {name}",
        median(ratios),
        target,
        detail=f"{median(ours) * 1000:.0f} / {median(raw) * 1000:.0f} ms, {len(prompt)} tokens; the engine alone",
        samples={"ours": ours, "raw": raw},
    )
