"""Resident memory after many tokens, over that after few: several sessions at once, replaced after two turns.

It is read between the turns, when nothing generates.
"""

from __future__ import annotations

from benchmark.client import AgentProcess
from benchmark.figures import Figure, Plan
from benchmark.prompts import LONG_ANSWER

SESSIONS = 6
PROMPTS = (LONG_ANSWER, "Count to 100")
"""The turns of each session."""


def measure(plan: Plan) -> list[Figure]:
    few, many = (1_000, 4_000) if plan.quick else (2_000, 20_000)
    counts, sizes = [0], []
    opened = 0
    with AgentProcess("--model", plan.model) as agent:
        agent.load()
        sizes.append(agent.resident_bytes())
        while counts[-1] < many:
            sessions = [agent.new_session() for _ in range(SESSIONS)]
            opened += SESSIONS
            for prompt in PROMPTS:
                turns = [agent.begin(session, prompt) for session in sessions]
                counts.append(counts[-1] + sum(agent.finish(turn).usage("outputTokens") for turn in turns))
                sizes.append(agent.resident_bytes())
    after_few = next(size for count, size in zip(counts, sizes, strict=True) if count >= few)
    detail = f"{sizes[-1] / 2**20:.0f} / {after_few / 2**20:.0f} MiB, loaded {sizes[0] / 2**20:.0f}; {opened} sessions"
    return [
        Figure(
            f"resident memory after {many:,} tokens / after {few:,}",
            sizes[-1] / after_few,
            1.02,
            detail=detail,
            samples={"tokens": [float(count) for count in counts], "bytes": [float(size) for size in sizes]},
        )
    ]
