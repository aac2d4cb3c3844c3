"""mlx-lm alone, as the figure to compare with: `generate_step` and `BatchGenerator` on the same checkpoint.

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
from typing import Any, Self

from benchmark.client import DIRECTORY
from benchmark.figures import BenchError
from gptoss_acp.vocabulary import STOP_IDS


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
        """Sample greedily after `prompt` with `generate_step`, until a stop token or the limit."""
        return self._ask({"prompts": [list(prompt)], "max_tokens": max_tokens, "batch": False})[0]

    def generate_batch(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Generation]:
        """Sample greedily after all `prompts` at once with `BatchGenerator`."""
        return self._ask({"prompts": [list(prompt) for prompt in prompts], "max_tokens": max_tokens, "batch": True})

    def _ask(self, request: dict[str, Any]) -> list[Generation]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"the reference died, with exit code {self._process.wait()}")
        return [Generation(*generation) for generation in json.loads(line)]


def serve(model_name: str) -> None:
    """Answer each request, a line on stdin, with a line on stdout: of each prompt `[tokens, seconds]`."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    import mlx.core as mx

    from gptoss_acp.engine import checkpoints, weights

    model = weights.load(checkpoints.find(model_name)).model
    for line in sys.stdin:
        request = json.loads(line)
        generate = _in_batch if request["batch"] else _one_by_one
        print(json.dumps(generate(model, request["prompts"], request["max_tokens"])), flush=True)
        mx.clear_cache()


def _one_by_one(model: Any, prompts: list[list[int]], max_tokens: int) -> list[Any]:
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    generations = []
    for prompt in prompts:
        tokens, seconds = [], []
        started = time.perf_counter()
        for token, _ in generate_step(mx.array(prompt), model, max_tokens=max_tokens):
            seconds.append(time.perf_counter() - started)
            tokens.append(int(token))
            if token in STOP_IDS:
                break
        generations.append([tokens, seconds])
    return generations


def _in_batch(model: Any, prompts: list[list[int]], max_tokens: int) -> list[Any]:
    from mlx_lm.generate import BatchGenerator

    generator = BatchGenerator(model, stop_tokens=[[token] for token in STOP_IDS])
    started = time.perf_counter()
    uids = generator.insert(prompts, [max_tokens] * len(prompts))
    generations: dict[int, Any] = {uid: [[], []] for uid in uids}
    running = set(uids)
    while running:
        for response in generator.next_generated():
            tokens, seconds = generations[response.uid]
            seconds.append(time.perf_counter() - started)
            tokens.append(int(response.token))
            if response.finish_reason is not None:
                running.remove(response.uid)
    generator.close()
    return list(generations.values())


if __name__ == "__main__":
    serve(sys.argv[1])
