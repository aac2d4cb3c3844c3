"""The agent's engine alone, in a process of its own: exact token ids in, the time to the first token out.

For what cannot be shown through ACP: a prompt that is wholly cold, and one after a restart beside the same one cold.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmark.client import DIRECTORY, settle
from benchmark.figures import BenchError


@dataclass(frozen=True)
class FirstToken:
    """Seconds to a prompt's first token, and how many of its tokens were not read again."""

    seconds: float
    cached: int


class EngineProcess:
    """The process, seen from the benchmark; it stores contexts only where a folder is given for them."""

    def __init__(self, model: str, cache_folder: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmark.engine", model, "8" if cache_folder else "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=DIRECTORY,
            env={
                **os.environ,
                "PYTHONPATH": str(DIRECTORY / "scripts"),
                **({"XDG_CACHE_HOME": str(cache_folder)} if cache_folder else {}),
            },
        )
        self._line()  # it is ready

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def first_token(self, prompt: Sequence[int], ahead: Sequence[int] = ()) -> FirstToken:
        """Read `prompt` and sample one token; then, in idle time, read `ahead`."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([list(prompt), list(ahead)]) + "\n")
        self._process.stdin.flush()
        return FirstToken(*json.loads(self._line()))

    def settle(self) -> None:
        """Wait until nothing is read ahead or written any more."""
        settle(self._process.pid)

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"the engine died, with exit code {self._process.wait()}")
        return line


async def serve(model_name: str, disk_gb: float) -> None:
    """Say `ready`; then answer each line `[prompt, ahead]` on stdin with `[seconds, cached]` on stdout."""
    from gptoss_acp.engine.api import EngineOptions, Sampling
    from gptoss_acp.engine.mlx_engine import MlxEngine
    from gptoss_acp.vocabulary import STOP_IDS

    engine = MlxEngine(model_name, EngineOptions(stop_tokens=STOP_IDS, disk_gb=disk_gb))
    await engine.load()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        prompt, ahead = json.loads(line)
        started = time.perf_counter()
        generation = engine.generate(prompt, Sampling(temperature=0, max_tokens=1))
        await anext(generation)
        seconds = time.perf_counter() - started
        await generation.aclose()
        if ahead:
            engine.read_ahead(ahead)
        print(json.dumps([seconds, generation.figures.cached_tokens]), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2])))
