"""mlx-lm alone, as the figure to compare with: `generate_step` on the same checkpoint, in a process of its own.

A process of its own, so that it and the agent each have a heap, threads and an allocator that the other never touched.
The two take turns: while one works the other waits for its next line, and has the machine to itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmark.client import DIRECTORY
from benchmark.figures import BenchError


@dataclass(frozen=True)
class Generation:
    """Sampled ids, and the seconds after the start at which each was there."""

    tokens: list[int]
    seconds: list[float]


class Reference:
    """The process, seen from the benchmark."""

    def __init__(self, model: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmark.reference", model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=DIRECTORY,
            env={**os.environ, "PYTHONPATH": str(DIRECTORY / "scripts")},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def generate(self, prompt: Sequence[int], max_tokens: int) -> Generation:
        """Sample greedily after `prompt` until a stop token or the limit."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([list(prompt), max_tokens]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"the reference died, with exit code {self._process.wait()}")
        return Generation(*json.loads(line))


def serve(model_name: str) -> None:
    """Answer each line `[prompt, max_tokens]` on stdin with a line `[tokens, seconds]` on stdout."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    from gptoss_acp.engine import checkpoints, loader
    from gptoss_acp.harmony.encoding import STOP_IDS

    model = loader.load(checkpoints.find(model_name)).model
    for line in sys.stdin:
        prompt, max_tokens = json.loads(line)
        tokens, seconds = [], []
        started = time.perf_counter()
        for token, _ in generate_step(mx.array(prompt), model, max_tokens=max_tokens):
            seconds.append(time.perf_counter() - started)
            tokens.append(int(token))
            if token in STOP_IDS:
                break
        mx.clear_cache()
        print(json.dumps([tokens, seconds]), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
