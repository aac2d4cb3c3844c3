"""What a decode step costs beside the model: the scheduler's and the streams' part, in a process of its own.

Timed is a whole step of the scheduler less the one of `Decoding`, which builds the model's graph, samples, and waits
for the step before.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from statistics import median
from typing import Any

from benchmark.child import Child
from benchmark.figures import Figure, Plan

SESSIONS = (1, 8)


def measure(plan: Plan) -> list[Figure]:
    steps = 100 if plan.quick else 400
    figures = []
    with Child("the stepper", "benchmark.step", plan.model) as stepper:
        for sessions in SESSIONS:
            milliseconds = stepper.ask({"sessions": sessions, "steps": steps})
            figures.append(
                Figure(
                    f"a decode step's scheduling, {sessions} at once",
                    median(milliseconds),
                    0.3,
                    "ms",
                    detail=f"beside the model's; of {len(milliseconds)} steps",
                    samples={"ms": milliseconds},
                )
            )
    return figures


async def serve(model_name: str) -> None:
    """Answer each request, a line on stdin, with the milliseconds of each step, a line on stdout."""
    from gptoss_acp.engine import checkpoints, weights
    from gptoss_acp.engine.api import EngineOptions, Sampling
    from gptoss_acp.engine.decoding import Decoding
    from gptoss_acp.engine.generation import Generation
    from gptoss_acp.engine.messages import Submit
    from gptoss_acp.engine.mlx_engine import no_matcher
    from gptoss_acp.engine.scheduler import Scheduler

    model = weights.load(checkpoints.find(model_name))
    in_model = 0.0
    step = Decoding._step  # noqa: SLF001

    def timed(decoding: Decoding) -> Any:
        nonlocal in_model
        started = time.perf_counter()
        try:
            return step(decoding)
        finally:
            in_model += time.perf_counter() - started

    setattr(Decoding, "_step", timed)  # noqa: B010
    for line in sys.stdin:
        request = json.loads(line)
        scheduler = Scheduler(model, EngineOptions(stop_tokens=(), disk_gb=0), no_matcher)
        scheduler.take_memory(2**30)
        generations = []
        for number in range(request["sessions"]):
            sampling = Sampling(temperature=0, max_tokens=10 * request["steps"])
            submit = Submit(model_name, number, tuple(range(1000, 1500 + number)), sampling, (), None)
            generations.append(Generation(submit, lambda _: None))
            scheduler.submit(generations[-1])
        while not all(generation.figures.generated_tokens for generation in generations):
            scheduler.step()
        readers = [asyncio.ensure_future(_read(generation)) for generation in generations]
        milliseconds = []
        for _ in range(request["steps"]):
            in_model, started = 0.0, time.perf_counter()
            scheduler.step()
            milliseconds.append((time.perf_counter() - started - in_model) * 1000)
            await asyncio.sleep(0)
        for generation, reader in zip(generations, readers, strict=True):
            scheduler.cancel(generation)
            await reader
        print(json.dumps(milliseconds), flush=True)


async def _read(generation: Any) -> None:
    async for _ in generation:
        pass


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
