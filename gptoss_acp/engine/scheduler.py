"""Which sequence the model works on next: continuous batching of every session's generations.

One step decodes one token of every running sequence and prefills one chunk of the waiting ones (mlx-lm's
BatchGenerator). Knows token ids, caches and the clock. Imported on the engine's thread only.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator
from mlx_lm.sample_utils import apply_top_p

from gptoss_acp.engine.api import EngineError, Generation, Sampling
from gptoss_acp.engine.loader import LoadedModel, load

log = logging.getLogger(__name__)

CHUNK_SECONDS = 0.2
"""How long one prefill chunk should last: what a cancel, or another session's next token, waits for at most."""

SMALLEST_CHUNK = 16
LARGEST_CHUNK = 2048
FIRST_CHUNK = 256

Sampler = Callable[[mx.array], mx.array]


@dataclass
class Sequence:
    """A generation on its way through the batch."""

    generation: Generation
    submitted: float
    token_limit: int
    first_token: float = 0.0


class Scheduler:
    """Runs generations on one model. Every method is called on the engine's thread."""

    def __init__(self, stop_tokens: tuple[int, ...]) -> None:
        self._stop_tokens = stop_tokens
        self._loaded: LoadedModel | None = None
        self._context_length = 0
        self._batch: BatchGenerator | None = None
        self._running: dict[int, Sequence] = {}
        self._paused: dict[Generation, tuple[Sequence, list[int], list[Any]]] = {}

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def load(self, folder: Path | None, context_limit: int | None) -> int:
        """Load the checkpoint in `folder` (None: the bundled one) and return its context length in tokens."""
        started = time.perf_counter()
        self._loaded = load(folder)
        self._context_length = min(self._loaded.context_length, context_limit or self._loaded.context_length)
        self._batch = self._new_batch(self._loaded)
        log.info("loaded %s in %.2f s", folder or "the bundled model", time.perf_counter() - started)
        return self._context_length

    def submit(self, generation: Generation) -> None:
        """Queue a generation for prefill."""
        room = self._context_length - len(generation.prompt)
        limit = min(generation.sampling.max_tokens or room, room)
        self._insert(Sequence(generation, time.perf_counter(), limit), list(generation.prompt), limit)

    def cancel(self, generation: Generation) -> None:
        """Remove a generation, wherever it is; it ends once nothing works on it any more."""
        if self._paused.pop(generation, None) is None:
            uid = self._uid(generation)
            if uid is None:
                return
            self._remove(uid)
        generation.end()
        self._rest()

    def resume(self, generation: Generation) -> None:
        """Let a paused generation go on exactly where it was."""
        paused = self._paused.pop(generation, None)
        if paused is None:
            return
        sequence, next_token, cache = paused
        remaining = sequence.token_limit - generation.figures.generated_tokens
        self._insert(sequence, next_token, remaining, cache)

    def step(self) -> None:
        """Decode one token of every running sequence and prefill one chunk of the waiting ones."""
        if not self._running or self._batch is None:
            return
        try:
            with self._batch.stats() as stats:
                _, responses = self._batch.next()
        except Exception as error:
            log.exception("the engine failed")
            self._fail(EngineError(f"The engine failed: {error}. The next prompt starts afresh."))
            return
        if stats.prompt_tokens:
            self._adapt_chunk(stats.prompt_tokens, stats.prompt_time)
        for response in responses:
            self._deliver(response.uid, response.token, finished=response.finish_reason is not None)
        self._rest()

    def _new_batch(self, loaded: LoadedModel) -> BatchGenerator:
        stops = [[token] for token in self._stop_tokens]
        return BatchGenerator(loaded.model, stop_tokens=stops, prefill_step_size=FIRST_CHUNK)

    def _insert(self, sequence: Sequence, prompt: list[int], limit: int, cache: list[Any] | None = None) -> None:
        if self._batch is None or self._loaded is None:
            sequence.generation.end(EngineError("No model is loaded."))
            return
        try:
            sampler = make_sampler(sequence.generation.sampling, self._loaded)
            (uid,) = self._batch.insert([prompt], [limit], caches=cache and [cache], samplers=[sampler])
        except Exception as error:
            log.exception("a generation could not start")
            sequence.generation.end(EngineError(f"The engine failed: {error}"))
        else:
            self._running[uid] = sequence

    def _deliver(self, uid: int, token: int, *, finished: bool) -> None:
        sequence = self._running[uid]
        generation, figures = sequence.generation, sequence.generation.figures
        now = time.perf_counter()
        if figures.generated_tokens == 0:
            sequence.first_token = now
            figures.first_token_seconds = now - sequence.submitted
        figures.generated_tokens += 1
        figures.decode_seconds = now - sequence.first_token
        generation.put(token)
        if finished:
            del self._running[uid]
            generation.end()
        elif generation.overfull:
            self._pause(uid, sequence)

    def _pause(self, uid: int, sequence: Sequence) -> None:
        # The next token is sampled already but not yet in the cache, so it is the prompt to resume from.
        assert self._batch is not None
        decoding = self._batch._generation_batch
        next_token = decoding._next_tokens[decoding.uids.index(uid)].item()
        cache, _ = self._remove(uid, keep_cache=True)[uid]
        self._paused[sequence.generation] = (sequence, [next_token], cache)
        sequence.generation.pause()

    def _remove(self, uid: int, *, keep_cache: bool = False) -> dict[int, Any]:
        assert self._batch is not None
        del self._running[uid]
        caches: dict[int, Any] = self._batch.remove([uid], return_prompt_caches=keep_cache)
        return caches

    def _uid(self, generation: Generation) -> int | None:
        return next((uid for uid, sequence in self._running.items() if sequence.generation is generation), None)

    def _adapt_chunk(self, tokens: int, seconds: float) -> None:
        assert self._batch is not None
        current = self._batch.prefill_step_size
        wanted = int(tokens / max(seconds, 1e-6) * CHUNK_SECONDS)
        # A short last chunk says little about the rate, so growth is bounded by what was seen to fit.
        size = max(SMALLEST_CHUNK, min(wanted, LARGEST_CHUNK, 2 * max(tokens, current // 2)))
        self._batch.prefill_step_size = self._batch._prompt_batch.prefill_step_size = size

    def _fail(self, error: EngineError) -> None:
        for sequence in self._running.values():
            sequence.generation.end(error)
        self._running.clear()
        if self._loaded is not None:
            self._batch = self._new_batch(self._loaded)

    def _rest(self) -> None:
        if not self._running:
            mx.clear_cache()


def greedy(logprobs: mx.array) -> mx.array:
    """Return the likeliest ids (batch,); one function for all, so that mlx-lm samples a whole batch in one call."""
    return mx.argmax(logprobs, axis=-1)


def make_sampler(sampling: Sampling, model: LoadedModel) -> Sampler:
    """Return a sampler of logprobs (batch, vocabulary) float32 to ids (batch,).

    Each generation draws from its own random key, so what another session does never changes its tokens.
    """
    temperature = model.temperature if sampling.temperature is None else sampling.temperature
    top_p = model.top_p if sampling.top_p is None else sampling.top_p
    if temperature == 0:
        return greedy
    seed = int.from_bytes(os.urandom(4)) if sampling.seed is None else sampling.seed
    key = mx.random.key(seed)

    def sample(logprobs: mx.array) -> mx.array:
        nonlocal key
        key, now = mx.random.split(key)
        if top_p < 1:
            logprobs = apply_top_p(logprobs, top_p)
        return mx.random.categorical(logprobs / temperature, key=now)

    return sample
