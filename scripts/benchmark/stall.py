"""The longest gap in one session's stream while another session's long prompt is read."""

from __future__ import annotations

import itertools
from statistics import median

from benchmark.client import AgentProcess, Turn
from benchmark.figures import BenchError, Figure, Plan
from benchmark.prompts import talkative, text_of

CHUNKS_BEFORE = 20


def measure(plan: Plan) -> list[Figure]:
    tokens = 2000 if plan.quick else 8000
    gaps, steps, reading = [], [], []
    with AgentProcess(*plan.agent, "--max-tokens", "400") as agent:
        agent.load()
        text = talkative(agent, 4 * CHUNKS_BEFORE)
        for run in range(plan.runs):
            opened = [agent.new_session(), agent.new_session()]
            agent.settle()
            streaming, long = _together(agent, opened, text, text_of(tokens, seed=run))
            read = _first_token(long, streaming)
            pairs = list(itertools.pairwise(streaming.chunks))
            gaps.append(max(later - earlier for earlier, later in pairs if later > long.sent and earlier < read))
            steps.append(median(later - earlier for earlier, later in pairs if later < long.sent))
            reading.append(read - long.sent)
    detail = (
        f"worst of {len(gaps)}: {max(gaps):.2f} s; read in {median(reading):.1f} s; "
        f"alone, a step takes {median(steps) * 1000:.1f} ms"
    )
    return [
        Figure(
            f"longest gap in a stream while another session reads {tokens:,} tokens",
            median(gaps),
            0.4,
            "s",
            detail=detail,
            samples={"gap": gaps, "reading": reading},
        )
    ]


def _together(agent: AgentProcess, sessions: list[str], text: str, long: str) -> tuple[Turn, Turn]:
    """Let the first session answer `text`, and after a while prompt the second with `long`."""
    streaming = agent.begin(sessions[0], text)
    while len(streaming.chunks) < CHUNKS_BEFORE and not streaming.answered:
        agent.receive()
    other = agent.begin(sessions[1], long)
    agent.finish(streaming)
    if not other.answered:
        agent.cancel(other)
    agent.settle()
    return streaming, other


def _first_token(long: Turn, streaming: Turn) -> float:
    if long.first_token is None or long.first_token > streaming.answered:
        raise BenchError("the stream ended before the other session's prompt was read")
    return long.first_token
