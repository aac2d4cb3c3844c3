"""Two processes compute the bundled model over the loopback: 200 cancels, and what a step costs beside the model's.

Exits with 1 where what is said after a cancel differs from what was said before, or a process is left over.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gptoss_acp.cli.checks import machines
from gptoss_acp.cli.checks.finding import plain
from gptoss_acp.engine.api import EngineOptions, Sampling
from gptoss_acp.engine.mlx_engine import MlxEngine
from gptoss_acp.engine.ranks import reports
from gptoss_acp.harmony import render
from gptoss_acp.settings import Settings
from gptoss_acp.vocabulary import STOP_IDS
from tests.support import ranks

ASKED = [*render.user("Count to 60"), *render.ASSISTANT_START]
GREEDY = Sampling(temperature=0, max_tokens=40)
ENDLESS = Sampling(temperature=50, seed=1, max_tokens=100_000)
STEPS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_ranks", description=__doc__)
    parser.add_argument("--cancels", type=int, default=200, help="how many (default: 200)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hosts = ranks.write_hosts(Path(folder))
        print(f"told:    {told() * 1e6:.1f} µs to tell another rank of a step")
        (link,) = (one for one in machines.hosts(Settings(model="tiny", hosts=hosts)) if one.name == "link")
        print(f"link:    {plain(link.found)}")
        with ranks.supervised(hosts) as supervisor:
            fine = asyncio.run(measure(ranks.engine_of(supervisor), given.cancels))
            every = ranks.pids(supervisor)
    left = [pid for pid in every if psutil.pid_exists(pid)]
    print(f"left:    {len(left)} processes")
    sys.exit(bool(left) or not fine)


def told() -> float:
    """Return how long it takes to tell one other process of a step."""
    with Path(os.devnull).open("wb") as stream:
        started = time.perf_counter()
        for _ in range(STEPS):
            reports.send(reports.Step(), stream)
        return (time.perf_counter() - started) / STEPS


async def measure(together: MlxEngine, cancels: int) -> bool:
    """Print speeds and cancels; return whether what was said stays the same."""
    alone = MlxEngine("tiny", EngineOptions(stop_tokens=STOP_IDS, disk_gb=0.0))
    expected = None
    for name, engine in (("alone", alone), ("two", together)):
        await engine.load()
        await said(engine)
        generation = engine.generate(ASKED, GREEDY)
        tokens = [token async for token in generation]
        milliseconds = 1e3 / generation.figures.tokens_per_second
        print(f"{name + ':':8} {milliseconds:.2f} ms a token, {generation.figures.tokens_per_second:.0f} tokens/s")
        same = expected in {None, tuple(tokens)}
        expected = tuple(tokens)
    print(f"tokens:  {'the same' if same else 'DIFFERENT'}")
    alone.close()
    seconds = [await cancel(together, random.Random(number)) for number in range(cancels)]
    still = tuple(await said(together)) == expected
    print(f"cancels: {cancels}, median {statistics.median(seconds) * 1e3:.0f} ms, longest {max(seconds) * 1e3:.0f} ms")
    print(f"after:   {'the same tokens' if still else 'OTHER TOKENS'}")
    return same and still


async def said(engine: MlxEngine) -> list[int]:
    return [token async for token in engine.generate(ASKED, GREEDY)]


async def cancel(engine: MlxEngine, rng: random.Random) -> float:
    """Cancel one of some generations, in its prompt or later, and then the others; return how long the first took."""
    prompts = [ASKED * rng.choice((1, 1, 5, 40)) for _ in range(rng.choice((1, 1, 2, 3)))]
    running = [engine.generate(prompt, ENDLESS) for prompt in prompts]
    if rng.random() < 0.5:
        await anext(running[0])
    await asyncio.sleep(rng.random() / 5)
    started = time.perf_counter()
    await running[0].aclose()
    taken = time.perf_counter() - started
    await asyncio.gather(*(one.aclose() for one in running[1:]))
    return taken


if __name__ == "__main__":
    main()
