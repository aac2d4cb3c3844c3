"""mlx-lm's continuous batching and its caches, and every part of them that mlx-lm does not show.

mlx-lm has no public way to pause a sequence, to say how much of a prompt the next step reads, or to set up a ring
cache: what this program touches of its private attributes is here and nowhere else. Knows sequences by the batch's own
numbers, token ids and caches. Knows nothing about generations. Imported on the engine's thread only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator
from mlx_lm.models.cache import BatchRotatingKVCache, KVCache, RotatingKVCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlx.nn.layers.base import Module

    from gptoss_acp.engine.sampling import Sampler

Pair = tuple[mx.array, mx.array]
"""Keys and values of one layer, each (1, heads, tokens, head size)."""

Cache = list[Any]
"""One mlx-lm cache a layer, KVCache or RotatingKVCache, of a single sequence."""

Windows = list[Pair | None]
"""What the ring of each sliding layer holds, in order; None of the other layers."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step has come to.

    `prompt_tokens` were read in `prompt_seconds`; `segment_ends` are the sequences that have just read a segment of
    their prompts to its end; `sampled` are mlx-lm's responses, one a decoding sequence: `uid`, `token`, and, where
    `finish_reason` is not None, `all_tokens` and `prompt_cache`.
    """

    prompt_tokens: int
    prompt_seconds: float
    segment_ends: list[int]
    sampled: list[Any]


@dataclass(frozen=True, slots=True)
class Halted:
    """A decoding sequence taken out of the batch: `tokens` are in `cache`, the last one sampled is in neither."""

    tokens: list[int]
    last_token: int
    cache: Cache


class Batch:
    """The sequences that run on one model."""

    def __init__(self, model: Module, stop_tokens: Sequence[int]) -> None:
        self._generator = BatchGenerator(model, stop_tokens=[[token] for token in stop_tokens])
        _leave_wired_limit(self._generator)

    @property
    def nbytes(self) -> int:
        """Bytes of the caches of all sequences."""
        return int(self._generator.prompt_cache_nbytes)

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

    def step(self, chunk: int) -> Step:
        """Decode one token of each sequence that has read its prompt, and read at most `chunk` of each other's."""
        self._generator.prefill_step_size = self._generator._prompt_batch.prefill_step_size = chunk
        _put_in_order(self._generator._prompt_batch.prompt_cache)
        with self._generator.stats() as stats:
            read, sampled = self._generator.next()
        ends = [response.uid for response in read if response.end_of_segment and not response.end_of_prompt]
        return Step(stats.prompt_tokens, stats.prompt_time, ends, sampled)

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


def is_sliding(layer: Any) -> bool:
    """Whether a layer's cache is a ring, of its last tokens only."""
    return isinstance(layer, RotatingKVCache)


def window_tokens(cache: Cache) -> int:
    """Return how many tokens of the full layers take as much memory as all rings together, when these are full."""
    rings: list[int] = [layer.max_size for layer in cache if is_sliding(layer)]
    return -(-sum(rings) // (len(cache) - len(rings)))


def windows(cache: Cache) -> Windows:
    """Return a copy of what the rings hold."""
    held = [keys_and_values(layer, 0) if is_sliding(layer) else None for layer in cache]
    mx.eval(held)
    return held


def rewound(cache: Cache, held: Windows, length: int) -> Cache:
    """Return `cache`, which is taken apart, as it was after `length` tokens, when its rings held `held`."""
    earlier = [
        full_layer(layer.keys[..., :length, :], layer.values[..., :length, :])
        if window is None
        else sliding_layer(*window, layer.max_size, length)
        for layer, window in zip(cache, held, strict=True)
    ]
    cache.clear()
    return earlier


def keys_and_values(layer: Any, start: int) -> Pair:
    """Return a copy of what a layer's cache holds of the tokens from `start` on; of a ring all of it, in order."""
    if is_sliding(layer):
        keys, values = (layer._temporal_order(ring)[..., -layer.max_size :, :] for ring in (layer.keys, layer.values))
    else:
        keys, values = (buffer[..., start : layer.offset, :] for buffer in (layer.keys, layer.values))
    return mx.contiguous(keys), mx.contiguous(values)


def full_layer(keys: mx.array, values: mx.array) -> KVCache:
    """Return the cache of a full-attention layer that has read as many tokens as there are `keys`."""
    layer = KVCache()
    layer.keys, layer.values, layer.offset = keys, values, keys.shape[2]
    return layer


def sliding_layer(keys: mx.array, values: mx.array, window: int, length: int) -> RotatingKVCache:
    """Return the cache of a sliding layer that has read `length` tokens, the last of them `keys`, at most `window`."""
    layer = RotatingKVCache(window)
    layer.keys, layer.values, layer.offset = keys, values, length
    layer._idx = keys.shape[2]
    return layer


def _put_in_order(cache: Cache) -> None:
    # A full ring that has read one token begins in its middle. For several tokens at once mlx-lm masks it as if it
    # did not, and a sequence shorter than the ring, with padding in it, would lose its oldest token.
    for layer in cache:
        if isinstance(layer, BatchRotatingKVCache):
            layer._temporal_order()


def _leave_wired_limit(generator: BatchGenerator) -> None:
    # It wires all that the system recommends, until it is closed. How much is wired is the business of `memory`.
    if generator._old_wired_limit is not None:
        mx.set_wired_limit(generator._old_wired_limit)
        generator._old_wired_limit = None
