"""Tokens per second of several sessions at once through the agent's pipe, beside mlx-lm's BatchGenerator alone.

The rates are of all tokens together, from the first of any session to the last of all.
"""

from __future__ import annotations

from statistics import median

from benchmark.client import AgentProcess
from benchmark.decode import check_prompt, total_rate
from benchmark.figures import Figure, Lines, Plan
from benchmark.prompts import LONG_ANSWER, rendered
from benchmark.reference import Generation, Reference

SESSIONS = 8


def measure(plan: Plan) -> list[Figure]:
    tokens = 120 if plan.quick else 300
    prompt = rendered(LONG_ANSWER)
    ours: dict[int, list[float]] = {}
    raw: dict[int, list[float]] = {}
    with AgentProcess(*plan.agent, "--max-tokens", str(tokens)) as agent, Reference(plan.model) as reference:
        agent.load()
        _ours(agent, 1, prompt)
        reference.generate(prompt, tokens)
        for sessions in (1, SESSIONS) if plan.quick else (1, 2, 4, SESSIONS, 2 * SESSIONS):
            runs = plan.runs if sessions == SESSIONS else min(3, plan.runs)
            ours[sessions], raw[sessions] = [], []
            for _ in range(runs):
                ours[sessions].append(_ours(agent, sessions, prompt))
                raw[sessions].append(_rate(reference.generate_batch([prompt] * sessions, tokens)))
    ratios = [one / other for one, other in zip(ours[SESSIONS], raw[SESSIONS], strict=True)]
    series = {
        "through ACP": [(float(sessions), median(rates)) for sessions, rates in ours.items()],
        "raw BatchGenerator": [(float(sessions), median(rates)) for sessions, rates in raw.items()],
    }
    return [
        Figure(
            f"decode: tokens/s of {SESSIONS} sessions through ACP / raw BatchGenerator",
            median(ratios),
            1.12,
            at_least=True,
            detail=f"{median(ours[SESSIONS]):.0f} / {median(raw[SESSIONS]):.0f} tokens/s in all",
            samples={"ours": ours[SESSIONS], "raw": raw[SESSIONS]},
            plots=(Lines("Throughput", "sessions at once", "tokens per second, all together", series),),
        )
    ]


def _ours(agent: AgentProcess, sessions: int, prompt: list[int]) -> float:
    opened = [agent.new_session() for _ in range(sessions)]
    agent.settle()
    turns = [agent.begin(session, LONG_ANSWER) for session in opened]
    for turn in turns:
        check_prompt(agent.finish(turn), prompt)
    agent.settle()
    return total_rate(turns)


def _rate(generations: list[Generation]) -> float:
    tokens = sum(len(generation.tokens) - 1 for generation in generations)
    first = min(generation.seconds[0] for generation in generations)
    return tokens / (max(generation.seconds[-1] for generation in generations) - first)
