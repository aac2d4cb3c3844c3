"""Greedy decoding of many prompts behind one prefix, with the whole vocabulary, in JAX.

Knows the network and its cache. Knows nothing about what the tokens mean.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from gptoss_acp import vocabulary
from tiny import model
from tiny.model import GROUP, HEAD_WIDTH, KV_HEADS, LAYERS, WIDTH, Params

Cache = list[tuple[jax.Array, jax.Array]]

_ROUND = 128


def greedy(
    checkpoint: dict[str, np.ndarray], prefix: list[int], prompts: list[list[int]], longest: int
) -> list[list[int]]:
    """Return what the model says after each prompt, up to a stop token or `longest` tokens."""
    params = {name: jnp.asarray(value) for name, value in checkpoint.items()}
    bucket = max(-(-len(prefix) // _ROUND), 1) * _ROUND
    padded = np.zeros(bucket, np.int32)
    padded[bucket - len(prefix) :] = prefix
    positions = jnp.arange(bucket) - bucket + len(prefix)
    shared = _shared(params, jnp.asarray(padded), positions)
    time = -(-max(map(len, prompts)) // _ROUND) * _ROUND
    rows = np.zeros((len(prompts), time), np.int32)
    for row, prompt in zip(rows, prompts, strict=True):
        row[: len(prompt)] = prompt
    cache = _prefill(params, shared, positions, jnp.asarray(rows), longest)
    # The last token of each prompt is run again by the first step.
    places = jnp.asarray([len(prompt) - 1 for prompt in prompts])
    tokens = jnp.asarray([prompt[-1] for prompt in prompts])
    said: list[list[int]] = [[] for _ in prompts]
    for _ in range(longest):
        tokens, cache = _step(params, shared, positions, cache, tokens, places)
        places = places + 1
        for one, token in zip(said, np.asarray(tokens).tolist(), strict=True):
            if not one or one[-1] not in vocabulary.STOP_IDS:
                one.append(token)
        if all(one[-1] in vocabulary.STOP_IDS for one in said):
            break
    return said


@partial(jax.jit)
def _shared(params: Params, prefix: jax.Array, positions: jax.Array) -> Cache:
    return model.prefix_memory(params, params["model.embed_tokens.weight"][prefix], positions)


@partial(jax.jit, static_argnums=4)
def _prefill(params: Params, shared: Cache, before: jax.Array, rows: jax.Array, room: int) -> Cache:
    x = params["model.embed_tokens.weight"][rows]
    after = before[-1] + 1 + jnp.arange(rows.shape[1])
    cache = []
    for layer in range(LAYERS):
        query, key, value = model.heads(params, layer, x, after)
        front = (*shared[layer], model.mask(after, before, sliding=layer % 2 == 0))
        own = (key, value, model.mask(after, after, sliding=layer % 2 == 0))
        x = x + model.merge(params, layer, query, [front, own])
        x = x + model.experts(params, layer, x)[0]
        space = ((0, 0), (0, 0), (0, room), (0, 0))
        cache.append((jnp.pad(key, space), jnp.pad(value, space)))
    return cache


@partial(jax.jit, donate_argnums=3)
def _step(
    params: Params, shared: Cache, before: jax.Array, cache: Cache, tokens: jax.Array, places: jax.Array
) -> tuple[jax.Array, Cache]:
    count, width = tokens.shape[0], cache[0][0].shape[2]
    x = params["model.embed_tokens.weight"][tokens][None]  # (1, rows, width): each row has its own position
    start = before[-1] + 1
    now = (start + places)[:, None]
    grown = []
    for layer in range(LAYERS):
        sliding = layer % 2 == 0
        query, key, value = model.heads(params, layer, x, now[:, 0])
        # From (kv, 1, group, rows, width) to one row each.
        query = query.reshape(KV_HEADS, GROUP, count, 1, HEAD_WIDTH).swapaxes(1, 2)
        every = jnp.arange(count)
        keys = cache[layer][0].at[:, every, places].set(key[:, 0])
        values = cache[layer][1].at[:, every, places].set(value[:, 0])
        grown.append((keys, values))
        front_mask = model.mask(now[:, None], before, sliding=sliding)
        own_mask = model.mask(now[:, None], start + jnp.arange(width), sliding=sliding)
        merged = model.merge(params, layer, query, [(*shared[layer], front_mask), (keys, values, own_mask)])
        x = x + merged.reshape(1, count, WIDTH)
        x = x + model.experts(params, layer, x)[0]
    hidden = model.norm(x[0], params["model.norm.weight"])
    return jnp.argmax(hidden @ params["lm_head.weight"].T, -1), grown
