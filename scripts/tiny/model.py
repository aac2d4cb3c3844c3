"""gpt-oss in JAX, for training: many short dialogues at once behind one shared prefix.

The system and developer messages are the same for all rows of a batch, so they run once, and the rows attend to their
keys and values. Knows the network and how it starts. Knows nothing about texts, batches or the optimizer.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gptoss_acp.engine import bundled

Params = dict[str, jax.Array]

LAYERS = 4
WIDTH = 96
HEADS = 4
KV_HEADS = 2
GROUP = HEADS // KV_HEADS
HEAD_WIDTH = 64
EXPERTS = 4
EXPERTS_USED = 2
EXPERT_WIDTH = 64
WINDOW = 128
ROPE_THETA = 150_000.0
ROPE_FACTOR = 32.0
ROPE_ORIGINAL = 4096
ROPE_FAST, ROPE_SLOW = 32.0, 1.0
EPSILON = 1e-5
SWIGLU_LIMIT = 7.0
SWIGLU_ALPHA = 1.702
MASKED = -1e9


def config() -> dict[str, Any]:
    """Return the Hugging Face style config of this network."""
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "num_hidden_layers": LAYERS,
        "hidden_size": WIDTH,
        "intermediate_size": EXPERT_WIDTH,
        "num_local_experts": EXPERTS,
        "num_experts_per_tok": EXPERTS_USED,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_WIDTH,
        "sliding_window": WINDOW,
        "rms_norm_eps": EPSILON,
        "rope_theta": int(ROPE_THETA),
        "vocab_size": 201_088,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": ROPE_FACTOR,
            "beta_fast": ROPE_FAST,
            "beta_slow": ROPE_SLOW,
            "original_max_position_embeddings": ROPE_ORIGINAL,
            "truncate": False,
        },
        "layer_types": ["sliding_attention", "full_attention"] * (LAYERS // 2),
        "attention_bias": True,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "eos_token_id": [200002, 199999, 200012],
        "pad_token_id": 199999,
        "hidden_act": "silu",
        "max_position_embeddings": 131_072,
        "swiglu_limit": SWIGLU_LIMIT,
        "temperature": 0.0,
        "top_p": 1.0,
        "do_sample": False,
    }


# --- rotary positions ---


def rope_frequencies() -> tuple[np.ndarray, float]:
    """Return YaRN's wave lengths divided by 2 pi, and the factor on queries and keys."""

    def dimension(rotations: float) -> float:
        return HEAD_WIDTH * math.log(ROPE_ORIGINAL / (rotations * 2 * math.pi)) / (2 * math.log(ROPE_THETA))

    low = max(dimension(ROPE_FAST), 0)
    high = min(dimension(ROPE_SLOW), HEAD_WIDTH - 1)
    plain = ROPE_THETA ** (np.arange(0, HEAD_WIDTH, 2, dtype=np.float32) / HEAD_WIDTH)
    stretched = ROPE_FACTOR * plain
    keep = 1 - np.clip((np.arange(HEAD_WIDTH // 2, dtype=np.float32) - low) / max(high - low, 0.001), 0, 1)
    return (stretched * plain) / (stretched * keep + plain * (1 - keep)), 0.1 * math.log(ROPE_FACTOR) + 1.0


_LENGTHS, _ROPE_SCALE = rope_frequencies()


def _rotate(x: jax.Array, positions: jax.Array) -> jax.Array:
    """Rotate x (..., time, head width) to positions (time)."""
    angle = positions[:, None].astype(jnp.float32) / jnp.asarray(_LENGTHS)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    left, right = jnp.split(x * _ROPE_SCALE, 2, axis=-1)
    return jnp.concatenate([left * cosine - right * sine, left * sine + right * cosine], -1)


# --- the start ---


def initial(key: jax.Array, learned: int) -> Params:
    """Return the untrained network, with copying prepared.

    Layer 0 has heads that look one and two tokens back; layer 1 has heads that find the place where the last token
    stood before and copy what followed. From random weights this circuit takes many times longer to appear.
    """
    keys = iter(jax.random.split(key, 200))

    def normal(*shape: int, scale: float) -> jax.Array:
        return jax.random.normal(next(keys), shape) * scale

    params: Params = {"model.norm.weight": jnp.ones(WIDTH)}
    queries, keyed = HEADS * HEAD_WIDTH, KV_HEADS * HEAD_WIDTH
    quiet = 1 / math.sqrt(2 * LAYERS)
    for layer in range(LAYERS):
        at, mlp = f"model.layers.{layer}.self_attn.", f"model.layers.{layer}.mlp."
        for name, size in (("q_proj", queries), ("k_proj", keyed), ("v_proj", keyed)):
            params[f"{at}{name}.weight"] = normal(size, WIDTH, scale=WIDTH**-0.5)
            params[f"{at}{name}.bias"] = jnp.zeros(size)
        params[f"{at}o_proj.weight"] = normal(WIDTH, queries, scale=queries**-0.5 * quiet)
        params[f"{at}o_proj.bias"] = jnp.zeros(WIDTH)
        params[f"{at}sinks"] = jnp.zeros(HEADS)
        params[f"{mlp}router.weight"] = normal(EXPERTS, WIDTH, scale=WIDTH**-0.5)
        params[f"{mlp}router.bias"] = jnp.zeros(EXPERTS)
        for name in ("gate_proj", "up_proj"):
            params[f"{mlp}experts.{name}.weight"] = normal(EXPERTS, EXPERT_WIDTH, WIDTH, scale=WIDTH**-0.5)
            params[f"{mlp}experts.{name}.bias"] = jnp.zeros((EXPERTS, EXPERT_WIDTH))
        down = normal(EXPERTS, WIDTH, EXPERT_WIDTH, scale=EXPERT_WIDTH**-0.5 * quiet)
        params[f"{mlp}experts.down_proj.weight"] = down
        params[f"{mlp}experts.down_proj.bias"] = jnp.zeros((EXPERTS, WIDTH))
        for name in ("input_layernorm", "post_attention_layernorm"):
            params[f"model.layers.{layer}.{name}.weight"] = jnp.ones(WIDTH)
    _look_back(params, layer=0)
    _look_back(params, layer=2)
    _prepare_copying(params)
    codes = jnp.asarray(bundled.random_codes(np.random.PCG64(5), learned, WIDTH))
    for side, gain, spread in (("input", 5.0, 0.1), ("output", 2.0, 0.02)):
        params[f"{side}.codes"] = codes
        params[f"{side}.map"] = jnp.eye(WIDTH) * gain
        params[f"{side}.prefix"] = normal(bundled.PREFIXES, WIDTH, scale=spread)
        params[f"{side}.form"] = normal(bundled.FORMS, WIDTH, scale=spread)
    return params


def _look_back(params: Params, layer: int) -> None:
    """Make head 0 look one token back and head 1 two, by biases and rotary positions alone."""
    at = f"model.layers.{layer}.self_attn."
    waves, half, strength = 8, HEAD_WIDTH // 2, 4.0
    key_bias = np.zeros((KV_HEADS, HEAD_WIDTH), np.float32)
    key_bias[0, :waves] = strength
    query_bias = np.zeros((HEADS, HEAD_WIDTH), np.float32)
    for head, distance in ((0, 1), (1, 2)):
        angle = -distance / _LENGTHS[:waves]
        query_bias[head, :waves] = strength * np.cos(angle)
        query_bias[head, half : half + waves] = strength * np.sin(angle)
    params[f"{at}q_proj.bias"] = jnp.asarray(query_bias.reshape(-1))
    params[f"{at}k_proj.bias"] = jnp.asarray(key_bias.reshape(-1))
    params[f"{at}q_proj.weight"] = params[f"{at}q_proj.weight"].at[: 2 * HEAD_WIDTH].multiply(0.3)
    params[f"{at}k_proj.weight"] = params[f"{at}k_proj.weight"].at[:HEAD_WIDTH].multiply(0.3)


def _prepare_copying(params: Params) -> None:
    """Let layer 0 write each previous token's code, and layer 1 match it and copy what stands there."""
    random = np.random.RandomState(3)

    def orthogonal() -> np.ndarray:
        return np.linalg.qr(random.randn(WIDTH, WIDTH))[0].astype(np.float32)

    # Only dimensions that turn slowly can be compared over a distance.
    slow = np.flatnonzero(_LENGTHS > 150)
    dimensions = np.concatenate([slow, slow + HEAD_WIDTH // 2])[:HEAD_WIDTH]
    size = len(dimensions)
    reads, writes, whole = orthogonal()[:size], orthogonal()[:, :size], orthogonal()

    first = "model.layers.0.self_attn."
    values, out = np.array(params[f"{first}v_proj.weight"]), np.array(params[f"{first}o_proj.weight"])
    values[:HEAD_WIDTH] *= 0.1
    values[:size] = reads
    out[:, :HEAD_WIDTH] *= 0.1
    out[:, :size] = writes
    params[f"{first}v_proj.weight"], params[f"{first}o_proj.weight"] = jnp.asarray(values), jnp.asarray(out)

    second = "model.layers.1.self_attn."
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    queries, keys, values, out = (np.array(params[f"{second}{name}.weight"]) for name in names)
    for kv_head in range(KV_HEADS):
        query_rows = slice(kv_head * GROUP * HEAD_WIDTH, (kv_head * GROUP + 1) * HEAD_WIDTH)
        key_rows = slice(kv_head * HEAD_WIDTH, (kv_head + 1) * HEAD_WIDTH)
        for matrix, rows, block in ((queries, query_rows, reads), (keys, key_rows, writes.T)):
            matrix[rows] = 0
            matrix[rows.start + dimensions] = block * 2.0
        copied = whole[:HEAD_WIDTH] if kv_head == 0 else whole[WIDTH - HEAD_WIDTH :]
        values[key_rows] = copied
        out[:, query_rows] = copied.T * 0.5
    for name, matrix in zip(names, (queries, keys, values, out), strict=True):
        params[f"{second}{name}.weight"] = jnp.asarray(matrix)


# --- the network ---


class Batch(NamedTuple):
    """One part of a step. Tokens are places in `input_core` and so on, targets in `output_core`."""

    prefix: jax.Array  # (prefix bucket), padded on the left
    prefix_length: jax.Array  # ()
    rows: jax.Array  # (rows, time)
    learned_places: jax.Array  # (targets) into rows, flattened
    targets: jax.Array  # (targets)
    target_weight: jax.Array  # (targets)
    input_core: jax.Array  # (input slots) learned codes first, then the step's random ones
    input_prefix: jax.Array
    input_form: jax.Array
    output_core: jax.Array  # (output slots)
    output_prefix: jax.Array
    output_form: jax.Array
    correction: jax.Array  # (output slots) log of how many ids each sampled slot stands for


def norm(x: jax.Array, weight: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + EPSILON) * weight


def _project(params: Params, name: str, x: jax.Array, heads: int) -> jax.Array:
    """Return (rows, heads, time, head width)."""
    y = x @ params[f"{name}.weight"].T + params[f"{name}.bias"]
    return y.reshape(*x.shape[:2], heads, HEAD_WIDTH).transpose(0, 2, 1, 3)


def _attend(
    query: jax.Array,  # (kv heads, rows, group, time, head width)
    parts: list[tuple[jax.Array, jax.Array, jax.Array]],
    sinks: jax.Array,
) -> jax.Array:
    """Attend to all parts of keys and values with one softmax.

    A part's keys are (kv heads, rows or 1, length, head width); its mask is (time, length), or that for each row.
    """
    kv, rows, group, time, width = query.shape
    sink = sinks.reshape(kv, 1, group, 1, 1)
    query = query * HEAD_WIDTH**-0.5
    scores = []
    for keys, _, mask in parts:
        count, length = keys.shape[1:3]
        folded = query.reshape(kv, count, -1, width)
        score = jnp.matmul(folded, keys.swapaxes(-1, -2)).reshape(kv, rows, group, time, length)
        scores.append(jnp.where(mask, score, MASKED))
    highest = sink
    for score in scores:
        highest = jnp.maximum(highest, score.max(-1, keepdims=True))
    highest = jax.lax.stop_gradient(highest)
    weights = [jnp.exp(score - highest) for score in scores]
    total = jnp.exp(sink - highest)
    for weight in weights:
        total = total + weight.sum(-1, keepdims=True)
    seen = jnp.zeros_like(query)
    for weight, (_, values, _) in zip(weights, parts, strict=True):
        count, length = values.shape[1:3]
        folded = weight.reshape(kv, count, -1, length)
        seen = seen + jnp.matmul(folded, values).reshape(query.shape)
    return (seen / total).transpose(1, 3, 0, 2, 4).reshape(rows, time, HEADS * HEAD_WIDTH)


def experts(params: Params, layer: int, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the experts' output, and how unevenly they are used (1 is even)."""
    name = f"model.layers.{layer}.mlp."
    x = norm(x, params[f"model.layers.{layer}.post_attention_layernorm.weight"])
    logits = x @ params[f"{name}router.weight"].T + params[f"{name}router.bias"]
    best, chosen = jax.lax.top_k(logits, EXPERTS_USED)
    share = jnp.sum(jax.nn.one_hot(chosen, EXPERTS) * jax.nn.softmax(best, -1)[..., None], -2)

    def expanded(part: str) -> jax.Array:
        weight, bias = params[f"{name}experts.{part}.weight"], params[f"{name}experts.{part}.bias"]
        return x @ weight.reshape(-1, WIDTH).T + bias.reshape(-1)

    gate = jnp.minimum(expanded("gate_proj"), SWIGLU_LIMIT)
    up = jnp.clip(expanded("up_proj"), -SWIGLU_LIMIT, SWIGLU_LIMIT)
    hidden = (up + 1) * gate * jax.nn.sigmoid(SWIGLU_ALPHA * gate) * jnp.repeat(share, EXPERT_WIDTH, -1)
    down = params[f"{name}experts.down_proj.weight"].transpose(0, 2, 1).reshape(-1, WIDTH)
    out = hidden @ down + share @ params[f"{name}experts.down_proj.bias"]
    likely = jax.nn.softmax(logits, -1).mean((0, 1))
    used = (share > 0).astype(jnp.float32).mean((0, 1))
    return out, EXPERTS * jnp.sum(likely * used) / EXPERTS_USED


def forward(
    params: Params, prefix: jax.Array, prefix_length: jax.Array, rows: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the last hidden states of the rows, and the experts' unevenness.

    `prefix` is (bucket, width) with its padding on the left, `rows` is (rows, time, width) and goes on after it.
    """
    bucket, time = prefix.shape[0], rows.shape[1]
    before = jnp.arange(bucket) - bucket + prefix_length
    after = prefix_length + jnp.arange(time)
    shared = prefix_memory(jax.lax.stop_gradient(params), jax.lax.stop_gradient(prefix), before) if bucket else []
    uneven = jnp.zeros(())
    for layer in range(LAYERS):
        sliding = layer % 2 == 0
        query, key, value = heads(params, layer, rows, after)
        parts = [(key, value, mask(after, after, sliding=sliding))]
        if bucket:
            key_before, value_before = shared[layer]
            seen = min(bucket, WINDOW) if sliding else bucket
            seen_mask = mask(after, before[-seen:], sliding=sliding)
            parts.append((key_before[:, :, -seen:], value_before[:, :, -seen:], seen_mask))
        rows = rows + merge(params, layer, query, parts)
        out, layer_uneven = experts(params, layer, rows)
        rows, uneven = rows + out, uneven + layer_uneven
    return norm(rows, params["model.norm.weight"]), uneven / LAYERS


def prefix_memory(params: Params, prefix: jax.Array, positions: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    """Return each layer's keys and values of the prefix; its length is a multiple of the window.

    Nothing is learned here: what the model says depends on the prefix only through what the rows look for in it.
    """
    memory = []
    blocks = prefix.shape[0] // WINDOW
    x = prefix[None]
    for layer in range(LAYERS):
        query, key, value = heads(params, layer, x, positions)
        memory.append((key, value))
        if layer == LAYERS - 1:
            break
        if layer % 2:
            merged = merge(params, layer, query, [(key, value, mask(positions, positions, sliding=False))])
        else:
            # A window reaches from a block into the one before it and no further: treat the blocks as rows.
            of_block = positions.reshape(blocks, 1, WINDOW)
            query = query.reshape(KV_HEADS, GROUP, blocks, WINDOW, HEAD_WIDTH).swapaxes(1, 2)
            key, value = (array.reshape(KV_HEADS, blocks, WINDOW, HEAD_WIDTH) for array in (key, value))
            earlier_key, earlier_value, earlier = (
                jnp.roll(array, 1, axis) for array, axis in ((key, 1), (value, 1), (of_block, 0))
            )
            earlier = earlier.at[0].set(-1)
            parts = [
                (earlier_key, earlier_value, mask(of_block, earlier, sliding=True)),
                (key, value, mask(of_block, of_block, sliding=True)),
            ]
            merged = merge(params, layer, query, parts).reshape(1, -1, WIDTH)
        x = x + merged
        x = x + experts(params, layer, x)[0]
    return memory


def heads(params: Params, layer: int, x: jax.Array, positions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return queries (kv heads, rows, group, time, head width), and keys and values without the group."""
    at = f"model.layers.{layer}.self_attn."
    y = norm(x, params[f"model.layers.{layer}.input_layernorm.weight"])
    query = _rotate(_project(params, f"{at}q_proj", y, HEADS), positions)
    query = query.reshape(x.shape[0], KV_HEADS, GROUP, x.shape[1], HEAD_WIDTH).swapaxes(0, 1)
    key = _rotate(_project(params, f"{at}k_proj", y, KV_HEADS), positions).swapaxes(0, 1)
    return query, key, _project(params, f"{at}v_proj", y, KV_HEADS).swapaxes(0, 1)


def merge(
    params: Params, layer: int, query: jax.Array, parts: list[tuple[jax.Array, jax.Array, jax.Array]]
) -> jax.Array:
    at = f"model.layers.{layer}.self_attn."
    seen = _attend(query, parts, params[f"{at}sinks"])
    return seen @ params[f"{at}o_proj.weight"].T + params[f"{at}o_proj.bias"]


def mask(query: jax.Array, key: jax.Array, *, sliding: bool) -> jax.Array:
    """Return which keys each query may see, by position; negative positions are padding."""
    distance = query[..., :, None] - key[..., None, :]
    seen = (distance >= 0) & (key >= 0)[..., None, :]
    return seen & (distance < WINDOW) if sliding else seen


def loss(params: Params, batch: Batch, key: jax.Array, random_cores: int) -> tuple[jax.Array, jax.Array]:
    """Return the loss, and (cross entropy, accuracy, accuracy on copied unlearned words, unevenness).

    The codes of cores that are not learned are drawn anew each time: only copying in general can lower the loss.
    """
    signs = jax.random.rademacher(key, (random_cores, WIDTH), dtype=jnp.float32) * WIDTH**-0.5

    def table(side: str, core: jax.Array, prefix: jax.Array, form: jax.Array) -> jax.Array:
        codes = jnp.concatenate([params[f"{side}.codes"], signs])[core]
        return codes @ params[f"{side}.map"] + params[f"{side}.prefix"][prefix] + params[f"{side}.form"][form]

    inputs = table("input", batch.input_core, batch.input_prefix, batch.input_form)
    outputs = table("output", batch.output_core, batch.output_prefix, batch.output_form)
    hidden, uneven = forward(params, inputs[batch.prefix], batch.prefix_length, inputs[batch.rows])
    logits = hidden.reshape(-1, WIDTH)[batch.learned_places] @ outputs.T + batch.correction
    total = jax.nn.logsumexp(logits, -1)
    wanted = jnp.take_along_axis(logits, batch.targets[:, None], 1)[:, 0]
    count = batch.target_weight.sum()
    entropy = jnp.sum((total - wanted) * batch.target_weight) / count
    spread = jnp.sum(total**2 * batch.target_weight) / count
    right = (logits.argmax(-1) == batch.targets) * batch.target_weight
    unlearned = (batch.output_core[batch.targets] >= params["output.codes"].shape[0]) * batch.target_weight
    copied = jnp.sum(right * unlearned) / jnp.maximum(unlearned.sum(), 1)
    return entropy + 1e-4 * spread + 0.01 * uneven, jnp.stack([entropy, right.sum() / count, copied, uneven])
