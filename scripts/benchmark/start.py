"""From spawning the agent to its answer to `initialize`, beside what Python alone takes."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from benchmark.client import AgentProcess
from benchmark.figures import Figure, Plan

REFERENCES = {"python -c pass": "pass", "python -c 'import asyncio, orjson'": "import asyncio, orjson"}


def measure(plan: Plan) -> list[Figure]:
    ours: list[float] = []
    others: dict[str, list[float]] = {name: [] for name in REFERENCES}
    for _ in range(2 * plan.runs):
        ours.append(_agent_seconds(plan.model))
        for name, code in REFERENCES.items():
            others[name].append(_python_seconds(code))
    return [
        Figure(
            "spawn to the answer to initialize",
            median(ours),
            0.30,
            "s",
            detail=f"worst of {len(ours)}: {max(ours):.2f} s",
            samples={"seconds": ours},
        ),
        *(
            Figure(f"for scale: {name}", median(seconds), None, "s", samples={"seconds": seconds})
            for name, seconds in others.items()
        ),
    ]


def _agent_seconds(model: str) -> float:
    started = time.perf_counter()
    with AgentProcess("--model", model) as agent:
        agent.initialize()
        return time.perf_counter() - started


def _python_seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started
