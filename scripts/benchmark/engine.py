"""The agent's engine alone, in a process of its own: exact token ids in, the times of the sampled ones out.

For what cannot be shown through ACP: a prompt that is wholly cold, of any length, and one after a restart beside the
same one cold.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.child import Child
from benchmark.client import settle


@dataclass(frozen=True)
class Answer:
    """Seconds from a prompt to each token, how many of the prompt's were not read again, and what its context takes.

    `nbytes` is what MLX holds when all is done, less what it held before: what is kept of the context.
    """

    times: list[float]
    cached: int
    nbytes: int

    @property
    def seconds(self) -> float:
        """Until the first token."""
        return self.times[0]


class EngineProcess(Child):
    """The process, seen from the benchmark; it stores contexts only where a folder is given for them."""

    def __init__(self, model: str, cache_folder: Path | None = None) -> None:
        variables = {"XDG_CACHE_HOME": str(cache_folder)} if cache_folder else {}
        super().__init__("the engine", "benchmark.engine", model, "8" if cache_folder else "0", variables=variables)
        self.read()  # it is ready

    def first_token(self, prompt: Sequence[int], ahead: Sequence[int] = ()) -> Answer:
        """Read `prompt` and sample one token; then, in idle time, read `ahead`."""
        return self.generate(prompt, 1, ahead)

    def generate(self, prompt: Sequence[int], tokens: int, ahead: Sequence[int] = ()) -> Answer:
        """Read `prompt` and sample `tokens` greedily; then, in idle time, read `ahead`."""
        return Answer(**self.ask({"prompt": list(prompt), "tokens": tokens, "ahead": list(ahead)}))

    def settle(self) -> None:
        """Wait until nothing is read ahead or written any more."""
        settle(self._process.pid)


async def serve(model_name: str, disk_gb: float) -> None:
    """Say that it is ready; then answer each request, a line on stdin, with an `Answer`'s fields, a line on stdout."""
    import mlx.core as mx

    from gptoss_acp.engine.api import EngineOptions, Sampling
    from gptoss_acp.engine.mlx_engine import MlxEngine

    engine = MlxEngine(model_name, EngineOptions(stop_tokens=(), disk_gb=disk_gb))
    await engine.load()
    print(json.dumps("ready"), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        before = mx.get_active_memory()
        started = time.perf_counter()
        generation = engine.generate(request["prompt"], Sampling(temperature=0, max_tokens=request["tokens"]))
        times = [time.perf_counter() - started async for _ in generation]
        await generation.aclose()
        await asyncio.sleep(0.1)  # until the engine's thread has let go of it
        nbytes = mx.get_active_memory() - before
        if request["ahead"]:
            engine.read_ahead(request["ahead"])
        answer = Answer(times, generation.figures.cached_tokens, nbytes)
        print(json.dumps(asdict(answer)), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2])))
