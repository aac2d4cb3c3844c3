"""The caches of keys and values: mlx-lm's, and what it does not show of them.

mlx-lm has no public way to set up a ring, to look into one, or to leave out the mask of a sequence that is alone: what
this program touches of its caches' private attributes is here and nowhere else. Knows layers and arrays. Knows nothing
about sequences' tokens. Imported on the engine's thread only.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models.base import create_causal_mask
from mlx_lm.models.cache import BatchRotatingKVCache, KVCache, RotatingKVCache

Pair = tuple[mx.array, mx.array]
"""Keys and values of one layer, each (1, heads, tokens, head size)."""

Cache = list[Any]
"""One mlx-lm cache a layer, KVCache or RotatingKVCache, of a single sequence."""

Windows = list[Pair | None]
"""What the ring of each sliding layer holds, in order; None of the other layers."""


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


class Alone:
    """A layer of a batch's cache that holds a single sequence without padding, whose masks are the simplest there are.

    For a batch mlx-lm makes a mask over all keys at each step; one row of it hides nothing that being causal, and of a
    ring its length, does not.
    """

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    @property
    def offset(self) -> mx.array:
        """The position of the next token, (1,) int32."""
        offset: mx.array = self._layer.offset
        return offset

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> Pair:
        """Add the keys and values of some tokens, and return those that these tokens can see."""
        seen: Pair = self._layer.update_and_fetch(keys, values)
        return seen

    def make_mask(self, tokens: int, window_size: int | None = None, **_: Any) -> mx.array | str | None:
        """Return which keys each of `tokens` new ones sees: in words, or as (tokens, keys) bool; None for all."""
        if tokens == 1:
            return None
        if window_size is None:
            return "causal"
        before = min(self._layer.max_size - 1, self._layer._offset)
        if before + tokens <= window_size:
            return "causal"
        mask: mx.array = create_causal_mask(tokens, before, window_size=window_size)
        return mask


def without_padding(cache: Cache) -> Cache:
    """Return the cache of a batch that one sequence is left of, without what once made it as long as others.

    mlx-lm cuts that off the full layers itself.
    """
    return [
        BatchRotatingKVCache.merge([layer.extract(0)])
        if isinstance(layer, BatchRotatingKVCache) and not layer.empty()
        else layer
        for layer in cache
    ]


def put_in_order(cache: Cache) -> None:
    """Let each ring of a batch begin with its oldest token.

    A full ring that has read one token begins in its middle. For several tokens at once mlx-lm masks it as if it did
    not, and a sequence shorter than the ring, with padding in it, would lose its oldest token.
    """
    for layer in cache:
        if isinstance(layer, BatchRotatingKVCache):
            layer._temporal_order()
