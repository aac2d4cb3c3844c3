"""From `session/cancel` to the turn's answer: in decode, in the prefill of a long prompt, and with many sessions.

Each cancel comes at a random moment: within a decode step, or somewhere in the first seconds of the prefill.
"""

from __future__ import annotations

import itertools
import random
import time
from statistics import median, quantiles

from benchmark.client import AgentProcess, Turn
from benchmark.figures import BenchError, Figure, Histogram, Plan
from benchmark.prompts import talkative, text_of

CHUNKS_BEFORE = 30
PREFILL_TOKENS = 8000
SESSIONS = 8


def measure(plan: Plan) -> list[Figure]:
    with AgentProcess(*plan.agent, "--max-tokens", "400") as agent:
        agent.load()
        text = talkative(agent, 2 * CHUNKS_BEFORE)
        return [
            _in_decode(agent, text, 2 * plan.runs),
            _in_prefill(agent, 2 * plan.runs),
            _under_load(agent, text, 30 if plan.quick else 200),
        ]


def _in_decode(agent: AgentProcess, text: str, runs: int) -> Figure:
    moment = random.Random(1)
    waits, steps = [], []
    for _ in range(runs):
        turn = agent.begin(agent.new_session(), text)
        while len(turn.chunks) < CHUNKS_BEFORE and not turn.answered:
            agent.receive()
        if turn.answered:
            raise BenchError("the answer ended before it could be cancelled")
        step = median(later - earlier for earlier, later in itertools.pairwise(turn.chunks))
        time.sleep(moment.random() * step)
        waits.append(agent.cancel(turn) * 1000)
        steps.append(step * 1000)
    return Figure(
        "cancel to answer, in decode",
        median(waits),
        1.5 * median(steps) + 10,
        "ms",
        detail=f"1.5 steps of {median(steps):.1f} ms + 10 ms; worst of {runs}: {max(waits):.1f} ms",
        samples={"cancel_ms": waits, "step_ms": steps},
    )


def _in_prefill(agent: AgentProcess, runs: int) -> Figure:
    moment = random.Random(2)
    waits = []
    for run in range(runs):
        session = agent.new_session()
        agent.settle()  # the agent would otherwise read the prompt before, which was cancelled, once more
        turn = agent.begin(session, text_of(PREFILL_TOKENS, seed=run))
        time.sleep(0.2 + 1.8 * moment.random())
        waits.append(agent.cancel(turn) * 1000)
        if turn.usage("outputTokens"):
            raise BenchError(f"the prefill of {PREFILL_TOKENS} tokens was over before it could be cancelled")
    return Figure(
        f"cancel to answer, in prefill of {PREFILL_TOKENS:,} tokens",
        median(waits),
        350,
        "ms",
        detail=f"worst of {runs}: {max(waits):.0f} ms",
        samples={"cancel_ms": waits},
    )


def _under_load(agent: AgentProcess, text: str, cancels: int) -> Figure:
    """Cancel one of `SESSIONS` running turns, see that all others go on, start another, and again."""
    moment = random.Random(3)
    turns = [agent.begin(agent.new_session(), text) for _ in range(SESSIONS)]
    waits: list[float] = []
    gaps: list[float] = []
    while len(waits) < cancels:
        _go_on(agent, turns, text, gaps)
        _wait(agent, 0.2 * moment.random())
        running = [place for place, turn in enumerate(turns) if not turn.answered]
        if not running:
            continue
        place = moment.choice(running)
        waits.append(agent.cancel(turns[place]) * 1000)
    for turn in turns:
        if not turn.answered:
            agent.cancel(turn)
    chunk, percentile = _percentile(gaps), _percentile(waits)
    limit = chunk + 50
    return Figure(
        f"cancel to answer, p99 of {cancels}, {SESSIONS} sessions running",
        percentile,
        limit,
        "ms",
        detail=(
            f"p99 of the streams' own gaps, {chunk:.0f} ms, + 50 ms; median {median(waits):.0f} ms, "
            f"worst {max(waits):.0f} ms; the other streams went on each time"
        ),
        samples={"cancel_ms": waits, "gap_ms": gaps},
        plots=(
            Histogram(
                f"Cancel with {SESSIONS} sessions running",
                "milliseconds from cancel to the turn's answer",
                "% of cancels",
                {"cancels": waits},
                limit,
            ),
        ),
    )


def _go_on(agent: AgentProcess, turns: list[Turn], text: str, gaps: list[float]) -> None:
    """Check that every running turn brings more or ends of itself; begin a new one for each that has ended."""
    before = [len(turn.chunks) for turn in turns]
    for place, turn in enumerate(turns):
        while len(turn.chunks) == before[place] and not turn.answered:
            agent.receive()
    for place, turn in enumerate(turns):
        if turn.answered:
            gaps += [(later - earlier) * 1000 for earlier, later in itertools.pairwise(turn.chunks)]
            turns[place] = agent.begin(agent.new_session(), text)


def _wait(agent: AgentProcess, seconds: float) -> None:
    """Read what comes for a while, so that the agent never waits for us."""
    end = time.perf_counter() + seconds
    while (rest := end - time.perf_counter()) > 0:
        agent.receive(rest)


def _percentile(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98]
