"""The agent's engine alone, in a process of its own that a fault of the device may end: exact token ids in and out.

Answers what `benchmark.reference` answers, so that the two can take turns, and tells of cancelling and of memory.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmark.child import Child
from benchmark.figures import BenchError
from benchmark.reference import Generation

if TYPE_CHECKING:
    from gptoss_acp.engine.mlx_engine import MlxEngine


class OurEngine(Child):
    """The process, seen from the benchmark; the model is loaded, and `device` is what it runs on.

    `device` has `name`, `backend`, `memory_bytes` (0 where MLX does not tell), `active_bytes` (MLX's after the load)
    and `load_seconds`, imports included.
    """

    def __init__(self, model: str) -> None:
        super().__init__("the engine", "device.our_engine", model)
        try:
            self.device: dict[str, Any] = self.read()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def generate(self, prompt: Sequence[int], max_tokens: int) -> Generation:
        return self.generate_batch([prompt], max_tokens)[0]

    def generate_turns(self, turns: Sequence[Sequence[int]], max_tokens: int) -> list[Generation]:
        """Sample after each of `turns`, each after all that was said before, of which the prompt is not read again.

        Raises:
            BenchError: the first turn was not wholly new to the engine, or a later one was read anew.
        """
        generations: list[Generation] = []
        prompt: list[int] = []
        for turn in turns:
            known = max(0, len(prompt) - 1)
            if generations:
                prompt = prompt + generations[-1].tokens
            prompt = [*prompt, *turn]
            ((tokens, seconds, cached),) = self._generate([prompt], max_tokens)
            if cached < known or (not generations and cached):
                raise BenchError(f"of a prompt of {len(prompt)} tokens {cached} were warm, not {known}")
            generations.append(Generation(tokens, seconds))
        return generations

    def generate_batch(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Generation]:
        """Sample after all `prompts` at once."""
        return [Generation(tokens, seconds) for tokens, seconds, _ in self._generate(prompts, max_tokens)]

    def cancel(self, prompt: Sequence[int], tokens: int, seconds: float) -> float | None:
        """Return what a cancel takes, `seconds` after the start or, if `tokens`, after so many of them.

        None if it was to meet the prefill, and came too late for that.
        """
        wait, sampled = self.ask({"kind": "cancel", "prompt": list(prompt), "tokens": tokens, "seconds": seconds})
        return None if sampled > tokens == 0 else float(wait)

    def memory(self) -> dict[str, int]:
        """Return bytes: `active` and `peak` are MLX's, `resident` the process's own at their most."""
        return dict(self.ask({"kind": "memory"}))

    def _generate(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Any]:
        request = {"kind": "generate", "prompts": [list(prompt) for prompt in prompts], "max_tokens": max_tokens}
        return list(self.ask(request))


async def serve(model_name: str) -> None:
    """Say what the device is; then answer each request, a line on stdin, with a line on stdout."""
    from gptoss_acp.engine.api import EngineError, EngineOptions
    from gptoss_acp.engine.mlx_engine import MlxEngine

    # Random weights may sample any token: none ends a generation, so that all are of one length.
    engine = MlxEngine(model_name, EngineOptions(stop_tokens=(), disk_gb=0))
    started = time.perf_counter()
    try:
        await engine.load()
        print(json.dumps({"load_seconds": time.perf_counter() - started, **_device()}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await _answer(engine, json.loads(line))), flush=True)
    except EngineError as error:
        print(json.dumps({"error": str(error)}), flush=True)


async def _answer(engine: MlxEngine, request: dict[str, Any]) -> Any:
    if request["kind"] == "memory":
        return _memory()
    if request["kind"] == "cancel":
        return await _cancel(engine, request["prompt"], request["tokens"], request["seconds"])
    started = time.perf_counter()
    generations = [_generate(engine, prompt, request["max_tokens"], started) for prompt in request["prompts"]]
    return await asyncio.gather(*generations)


async def _generate(engine: MlxEngine, prompt: list[int], max_tokens: int, started: float) -> Any:
    from gptoss_acp.engine.api import Sampling

    generation = engine.generate(prompt, Sampling(temperature=0, max_tokens=max_tokens))
    tokens, seconds = [], []
    async for token in generation:
        seconds.append(time.perf_counter() - started)
        tokens.append(token)
    return tokens, seconds, generation.figures.cached_tokens


async def _cancel(engine: MlxEngine, prompt: list[int], tokens: int, seconds: float) -> tuple[float, int]:
    from gptoss_acp.engine.api import Sampling

    generation = engine.generate(prompt, Sampling(temperature=0))
    for _ in range(tokens):
        await anext(generation)
    await asyncio.sleep(seconds)
    sampled = generation.figures.generated_tokens
    started = time.perf_counter()
    await generation.aclose()
    return time.perf_counter() - started, sampled


def _device() -> dict[str, Any]:
    import mlx.core as mx

    info = mx.device_info()
    return {
        "name": info.get("device_name", "unknown"),
        "backend": "Metal" if mx.metal.is_available() else "CUDA" if mx.cuda.is_available() else "CPU",
        "memory_bytes": int(info.get("total_memory") or info.get("memory_size") or 0),
        "active_bytes": mx.get_active_memory(),
    }


def _memory() -> dict[str, int]:
    import mlx.core as mx

    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2)
    return {
        "active": mx.get_active_memory(),
        "peak": mx.get_peak_memory(),
        "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    }


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
