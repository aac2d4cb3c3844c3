"""mlx-lm's continuous batching, and every part of it that mlx-lm does not show.

mlx-lm has no public way to pause a sequence, to say how much of a prompt the next step reads, or to compute a step in
another way: what this program touches of its batches' private attributes is here, in `prefilling` and in `decoding`,
and nowhere else. Knows sequences by the batch's own numbers, token ids and caches. Knows nothing about generations.
Imported on the engine's thread only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator

from gptoss_acp.engine.caches import Cache, put_in_order
from gptoss_acp.engine.decoding import Decoding
from gptoss_acp.engine.prefilling import Prefilling
from gptoss_acp.engine.ranks.group import ALONE, Ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlx.nn.layers.base import Module

    from gptoss_acp.engine.sampling import Sampler


@dataclass(slots=True)
class Chunk:
    """What is read of prompts at once: `tokens` in all, and the sequences that are then at the end of a segment.

    `seconds` is what computing it has taken so far, `longest` what a layer of it has taken at most: of layers that were
    computed at once their mean.
    """

    tokens: int
    segment_ends: list[int]
    seconds: float = 0.0
    longest: float = 0.0


@dataclass(frozen=True, slots=True)
class Halted:
    """A decoding sequence taken out of the batch: `tokens` are in `cache`, the last one sampled is in neither."""

    tokens: list[int]
    last_token: int
    cache: Cache


class Batch:
    """The sequences that run on one model."""

    def __init__(self, model: Module, stop_tokens: Sequence[int], ranks: Ranks = ALONE) -> None:
        generator = self._generator = BatchGenerator(model, stop_tokens=[[token] for token in stop_tokens])
        generator._prompt_batch = Prefilling.empty(model, generator.sampler)
        generator._prompt_batch.ranks = ranks
        generator._generation_batch = Decoding.empty(model, generator.sampler)
        generator._generation_batch._ranks = ranks
        _leave_wired_limit(generator)
        self._chunk = Chunk(0, [])

    @property
    def nbytes(self) -> int:
        """Bytes of the caches of all sequences."""
        return int(self._generator.prompt_cache_nbytes)

    @property
    def chunk_tokens(self) -> int:
        """Tokens of the chunk that is being read, of all prompts together."""
        return self._chunk.tokens

    @property
    def amid_chunk(self) -> bool:
        """Whether a chunk has been begun that is not read to its end."""
        return bool(self._generator._prompt_batch.unread)

    def insert(
        self,
        segments: list[list[int]],
        limit: int,
        *,
        sampler: Sampler,
        processors: list[Any],
        read: list[int],
        cache: Cache | None,
    ) -> int:
        """Let a sequence read `segments` and then sample `limit` tokens; `cache` holds what it has `read` before.

        Raises:
            ValueError: there is no token to read, or none to sample.
        """
        (uid,) = self._generator.insert_segments(
            [segments],
            [limit],
            caches=cache and [cache],
            all_tokens=[read],
            samplers=[sampler],
            logits_processors=[processors],
        )
        return int(uid)

    def remove(self, uid: int) -> None:
        """Let go of a sequence, however far it is."""
        self._generator.remove([uid])
        if uid in self._chunk.segment_ends:
            self._chunk.segment_ends.remove(uid)

    def step(self, chunk: int) -> list[Any]:
        """Decode one token of each sequence that has read its prompt; begin to read about `chunk` of the others'.

        While a chunk is not read to its end, no other is begun. Return mlx-lm's responses, one a decoding
        sequence: `uid`, `token`, and, where `finish_reason` is not None, `all_tokens` and `prompt_cache`.
        """
        generator = self._generator
        if generator._prompt_batch.unread:
            with mx.stream(generator.stream):
                return list(generator._generation_batch.next())
        waiting = len(generator._prompt_batch) + len(generator._unprocessed_sequences)
        at_once = max(1, min(waiting, generator.prefill_batch_size))
        generator.prefill_step_size = max(1, chunk // at_once)
        put_in_order(generator._prompt_batch.prompt_cache)
        prompts, sampled = generator.next()
        ends = [prompt.uid for prompt in prompts if prompt.end_of_segment and not prompt.end_of_prompt]
        self._chunk = Chunk(generator._prompt_batch.begun, ends)
        return list(sampled)

    def read_on(self, layers: int) -> Chunk | None:
        """Compute the next `layers` of the chunk that has been begun; return it when these were the last."""
        prompts = self._generator._prompt_batch
        if not (unread := prompts.unread):
            return None
        started = time.perf_counter()
        with mx.stream(self._generator.stream):
            prompts.go_on(layers)
        seconds = time.perf_counter() - started
        self._chunk.seconds += seconds
        self._chunk.longest = max(self._chunk.longest, seconds / min(layers, unread))
        return None if prompts.unread else self._chunk

    def snapshot(self, uid: int) -> tuple[list[int], Cache]:
        """Return the tokens that a sequence has read or sampled, and a cache of them."""
        cache, tokens = self._generator.extract_cache([uid])[uid]
        return tokens, cache

    def halt(self, uid: int) -> Halted:
        """Take a decoding sequence out, to go on later from where it is."""
        # One more token is sampled already. To mlx-lm it will be the prompt to go on from, which it does not yield.
        decoding = self._generator._generation_batch
        last_token = decoding._next_tokens[decoding.uids.index(uid)].item()
        cache, tokens = self._generator.remove([uid], return_prompt_caches=True)[uid]
        return Halted(tokens, last_token, cache)

    def new_cache(self) -> Cache:
        """Return the cache of a sequence that has read nothing."""
        cache: Cache = self._generator.model.make_cache()
        return cache

    def read(self, tokens: Sequence[int], cache: Cache) -> None:
        """Prefill `tokens` into `cache`, beside all sequences."""
        with mx.stream(self._generator.stream):
            self._generator.model(mx.array([tokens]), cache=cache)
            mx.eval([layer.state for layer in cache])


def _leave_wired_limit(generator: BatchGenerator) -> None:
    # It wires all that the system recommends, until it is closed. How much is wired is the business of `memory`.
    if generator._old_wired_limit is not None:
        mx.set_wired_limit(generator._old_wired_limit)
        generator._old_wired_limit = None
