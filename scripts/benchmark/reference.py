"""mlx-lm alone, as the figure to compare with: `generate_step` and `BatchGenerator` on the same checkpoint.

A process of its own, so that it and the agent each have a heap, threads and an allocator that the other never touched.
The two take turns: while one works the other waits for its next line, and has the machine to itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.child import Child
from gptoss_acp.vocabulary import STOP_IDS


@dataclass(frozen=True)
class Generation:
    """Sampled ids, and the seconds after the start at which each was there."""

    tokens: list[int]
    seconds: list[float]


class Reference(Child):
    """The process, seen from the benchmark. It samples greedily until one of `stop_tokens` or the limit."""

    def __init__(self, model: str, stop_tokens: Sequence[int] = STOP_IDS) -> None:
        super().__init__("the reference", "benchmark.reference", model, json.dumps(list(stop_tokens)))

    def generate(self, prompt: Sequence[int], max_tokens: int) -> Generation:
        """Sample after `prompt` with `generate_step`."""
        return self._generations("turns", [prompt], max_tokens)[0]

    def generate_turns(self, turns: Sequence[Sequence[int]], max_tokens: int) -> list[Generation]:
        """Sample after each of `turns` with `generate_step`, each going on from the cache of those before."""
        return self._generations("turns", turns, max_tokens)

    def generate_batch(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Generation]:
        """Sample after all `prompts` at once with `BatchGenerator`."""
        return self._generations("batch", prompts, max_tokens)

    def _generations(self, kind: str, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Generation]:
        request = {"kind": kind, "prompts": [list(prompt) for prompt in prompts], "max_tokens": max_tokens}
        return [Generation(*generation) for generation in self.ask(request)]


def serve(model_name: str, stop_tokens: list[int]) -> None:
    """Answer each request, a line on stdin, with a line on stdout: of each prompt `[tokens, seconds]`."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    import mlx.core as mx

    from gptoss_acp.engine import checkpoints, weights

    model = weights.load(checkpoints.find(model_name)).model
    for line in sys.stdin:
        request = json.loads(line)
        generate = _in_batch if request["kind"] == "batch" else _turn_by_turn
        print(json.dumps(generate(model, request["prompts"], request["max_tokens"], stop_tokens)), flush=True)
        mx.clear_cache()


def _turn_by_turn(model: Any, turns: list[list[int]], max_tokens: int, stop_tokens: list[int]) -> list[Any]:
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    cache = model.make_cache()
    generations = []
    for turn in turns:
        tokens, seconds = [], []
        started = time.perf_counter()
        # What is sampled goes into the cache before it is yielded, so the next turn goes on right after it.
        for token, _ in generate_step(mx.array(turn), model, max_tokens=max_tokens, prompt_cache=cache):
            seconds.append(time.perf_counter() - started)
            tokens.append(int(token))
            if token in stop_tokens:
                break
        generations.append([tokens, seconds])
    return generations


def _in_batch(model: Any, prompts: list[list[int]], max_tokens: int, stop_tokens: list[int]) -> list[Any]:
    from mlx_lm.generate import BatchGenerator

    generator = BatchGenerator(model, stop_tokens=[[token] for token in stop_tokens])
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
    serve(sys.argv[1], json.loads(sys.argv[2]))
