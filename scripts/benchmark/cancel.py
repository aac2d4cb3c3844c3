"""From `session/cancel` to the turn's answer, in decode and in the prefill of a long prompt.

Each cancel comes at a random moment: within a decode step, or somewhere in the first seconds of the prefill.
"""

from __future__ import annotations

import itertools
import random
import time
from statistics import median

from benchmark.client import AgentProcess
from benchmark.figures import BenchError, Figure, Plan
from benchmark.prompts import LONG_ANSWER, text_of

CHUNKS_BEFORE = 30
PREFILL_TOKENS = 8000


def measure(plan: Plan) -> list[Figure]:
    with AgentProcess("--model", plan.model, "--temperature", "0") as agent:
        agent.load()
        agent.prompt(agent.new_session(), "Hello")
        return [_in_decode(agent, 2 * plan.runs), _in_prefill(agent, 2 * plan.runs)]


def _in_decode(agent: AgentProcess, runs: int) -> Figure:
    moment = random.Random(1)
    waits, steps = [], []
    for _ in range(runs):
        turn = agent.begin(agent.new_session(), LONG_ANSWER)
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
        turn = agent.begin(agent.new_session(), text_of(PREFILL_TOKENS, seed=run))
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
