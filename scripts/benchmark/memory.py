"""Resident memory after much use, over that after little: many tokens, and many sessions.

It is read between the turns, when nothing generates, and goes up and down by some percent as the allocators like it:
medians of several readings are compared. Contexts may take little memory here, so that it is full early on: what grows
after that is a leak.
"""

from __future__ import annotations

from statistics import median

from benchmark.checkpoint import contexts_gb
from benchmark.client import AgentProcess
from benchmark.figures import Figure, Lines, Plan
from benchmark.prompts import LONG_ANSWER, text_of

TOGETHER = 4
"""Sessions that run at once."""

READINGS = 5
"""Of the memory, whose median is taken."""

ROUND = 20
"""Sessions opened between two readings of the memory."""

TURNS = 2
"""Of each session, where tokens are counted."""

KEPT_TOKENS = 16_384
"""Tokens whose contexts fill the memory for contexts."""

Samples = list[tuple[float, float]]


def measure(plan: Plan) -> list[Figure]:
    memory = f"{contexts_gb(plan.model, KEPT_TOKENS):.6f}"
    few_tokens, many_tokens = (1_000, 10_000) if plan.quick else (5_000, 50_000)
    few_sessions, many_sessions = (20, 200) if plan.quick else (100, 1_000)
    with AgentProcess(*plan.agent, "--max-tokens", "300", "--memory-gb", memory) as agent:
        tokens = _generate(agent, many_tokens)
    with AgentProcess(*plan.agent, "--max-tokens", "8", "--memory-gb", memory) as agent:
        sessions = _open(agent, many_sessions)
    return [
        _figure("generated tokens", tokens, few_tokens, 1.02, f"{TOGETHER} at once, {TURNS} turns a session"),
        _figure("sessions opened, prompted and closed", sessions, few_sessions, 1.05, f"{TOGETHER} at once"),
    ]


def _generate(agent: AgentProcess, tokens: int) -> Samples:
    """Generate `tokens`, and return how many there were and the resident bytes, after each round."""
    agent.load()
    samples = [(0.0, float(agent.resident_bytes()))]
    while samples[-1][0] < tokens:
        sessions = [agent.new_session() for _ in range(TOGETHER)]
        for _ in range(TURNS):
            turns = [agent.begin(session, LONG_ANSWER) for session in sessions]
            generated = sum(agent.finish(turn).usage("outputTokens") for turn in turns)
            agent.settle()
            samples.append((samples[-1][0] + generated, float(agent.resident_bytes())))
        for session in sessions:
            agent.close_session(session)
    return samples


def _open(agent: AgentProcess, sessions: int) -> Samples:
    """Open `sessions` and prompt each once, and return how many there were and the resident bytes, after each round."""
    agent.load()
    samples = [(0.0, float(agent.resident_bytes()))]
    while samples[-1][0] < sessions:
        opened = int(samples[-1][0])
        for first in range(opened, opened + ROUND, TOGETHER):
            texts = [text_of(20, seed=number) for number in range(first, first + TOGETHER)]
            for turn in [agent.begin(agent.new_session(), text) for text in texts]:
                agent.finish(turn)
                agent.close_session(turn.session)
        agent.settle()
        samples.append((float(opened + ROUND), float(agent.resident_bytes())))
    return samples


def _figure(what: str, samples: Samples, few: int, target: float, detail: str) -> Figure:
    sizes = [size for _, size in samples]
    first = next(place for place, (count, _) in enumerate(samples) if count >= few)
    after_few, after_many = median(sizes[first : first + READINGS]), median(sizes[-READINGS:])
    many, _ = samples[-1]
    points = [(count, size / 2**20) for count, size in samples]
    return Figure(
        f"resident memory after {many:,.0f} {what} / after {few:,}",
        after_many / after_few,
        target,
        detail=f"{after_many / 2**20:.0f} / {after_few / 2**20:.0f} MiB, loaded {sizes[0] / 2**20:.0f}; {detail}",
        samples={"count": [count for count, _ in samples], "bytes": sizes},
        plots=(Lines(f"Memory by {what}", what, "MiB resident", {"the agent": points}),),
    )
