"""From the model's logits to an id, as one generation wants it drawn.

Knows arrays and random keys. Knows nothing about batches. Imported on the engine's thread only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import mlx.core as mx
from mlx_lm.sample_utils import apply_top_p

if TYPE_CHECKING:
    from gptoss_acp.engine.api import Sampling
    from gptoss_acp.engine.weights import LoadedModel

LEAST = 1e-3
"""Below this temperature, or this mass of tokens, the likeliest is drawn: what divides by it would reach infinity."""

Sampler = Callable[[mx.array], mx.array]
"""Takes logits (batch, vocabulary) of any float type and returns ids (batch,)."""


def make_sampler(sampling: Sampling, model: LoadedModel) -> Sampler:
    """Return how to sample for one generation; what `sampling` leaves open is the model's own.

    Each generation draws from its own random key, so what another session does never changes its tokens.
    """
    temperature = model.temperature if sampling.temperature is None else sampling.temperature
    top_p = model.top_p if sampling.top_p is None else sampling.top_p
    if min(temperature, top_p) < LEAST:
        return greedy
    seed = int.from_bytes(os.urandom(4)) if sampling.seed is None else sampling.seed
    key = mx.random.key(seed)

    def sample(logits: mx.array) -> mx.array:
        nonlocal key
        key, now = mx.random.split(key)
        logits = logits.astype(mx.float32)  # bfloat16 has too few steps to tell probabilities apart
        if top_p < 1:
            logits = apply_top_p(logits - mx.logsumexp(logits, axis=-1, keepdims=True), top_p)
        return mx.random.categorical(logits / temperature, key=now)

    return sample


def unsampled(logits: mx.array) -> mx.array:
    """Return 0 as each id (batch,), on a rank that does not sample, once it has computed the logits."""
    zeros = mx.zeros(logits.shape[0], mx.uint32)
    ids: list[mx.array] = mx.depends([zeros], [logits])  # or its part in what follows could overtake the model's
    return ids[0]


def greedy(logits: mx.array) -> mx.array:
    """Return the likeliest ids (batch,); one function for all, so that a whole batch is sampled in one call."""
    return mx.argmax(logits, axis=-1)
