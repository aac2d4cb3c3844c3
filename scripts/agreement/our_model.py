"""gpt-oss as this program computes it, with the reference's tokens forced, or sampled by its engine.

Knows the engine, and mlx-lm's batches that it runs. Knows nothing about the reference but its tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.generate import BatchGenerator
from mlx_lm.utils import load_model

from agreement.comparison import Array
from gptoss_acp.engine import weights
from gptoss_acp.engine.api import EngineOptions, Sampling
from gptoss_acp.engine.mlx_engine import MlxEngine

CHUNK = 192
"""Tokens read at once; no divisor of a window's multiples, so that chunks end anywhere in it."""


def loaded(folder: Path) -> Any:
    return weights.load(folder).model


def loaded_by_mlx_lm(folder: Path) -> Any:
    """Return the model as mlx-lm loads it, widened for the CPU."""
    model, _ = load_model(folder, lazy=True)
    model.apply(lambda array: array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)
    return model


def alone(model: Any, prompt: Sequence[int], sampled: Sequence[int], first: int) -> Iterator[tuple[int, Array]]:
    """Yield log-probabilities (positions, vocabulary), with where they begin, from position `first` on.

    The prompt is read in chunks, and the sampled tokens one by one.
    """
    cache = model.make_cache()
    ends = [*range(CHUNK, len(prompt), CHUNK), *range(len(prompt), len(prompt) + len(sampled) + 1)]
    tokens = [*prompt, *sampled]
    start = 0
    for end in ends:
        hidden = model.model(mx.array([tokens[start:end]]), cache=cache)[0]
        mx.eval(hidden)
        if end > first:
            yield max(first, start), log_probabilities(model.lm_head(hidden[max(0, first - start) :]))
        start = end


def together(model: Any, prompts: Sequence[Sequence[int]], sampled: Sequence[Sequence[int]]) -> list[Array]:
    """Return the log-probabilities of every sampled token, (tokens, vocabulary) for each prompt, all in one batch."""
    found: list[list[Array]] = [[] for _ in prompts]

    def forced(place: int) -> Any:
        def note(_: mx.array, logits: mx.array) -> mx.array:
            wanted = sampled[place][min(len(found[place]), len(sampled[place]) - 1)]
            found[place].append(log_probabilities(logits)[0])
            return mx.where(mx.arange(logits.shape[-1]) == wanted, 0.0, -mx.inf)[None]

        return note

    batch = BatchGenerator(model)
    counts = [len(tokens) for tokens in sampled]
    batch.insert(
        [list(prompt) for prompt in prompts], counts, logits_processors=[[forced(i)] for i in range(len(prompts))]
    )
    running = len(prompts)
    while running:
        running -= sum(response.finish_reason is not None for response in batch.next_generated())
    batch.close()
    return [np.stack(rows[:count]) for rows, count in zip(found, counts, strict=True)]


async def sampled(
    folder: Path, prompts: Sequence[list[int]], counts: Sequence[int], *, at_once: bool
) -> list[list[int]]:
    """Return what the engine samples greedily after each of the prompts, one after the other or all at once."""
    engine = MlxEngine(str(folder), EngineOptions((), disk_gb=0))

    async def collect(prompt: list[int], count: int) -> list[int]:
        return [token async for token in engine.generate(prompt, Sampling(temperature=0, max_tokens=count))]

    try:
        await engine.load()
        tasks = [collect(prompt, count) for prompt, count in zip(prompts, counts, strict=True)]
        return list(await asyncio.gather(*tasks)) if at_once else [await task for task in tasks]
    finally:
        engine.close()


def log_probabilities(logits: mx.array) -> Array:
    wide = logits.astype(mx.float32)
    return np.array(wide - mx.logsumexp(wide, axis=-1, keepdims=True))
