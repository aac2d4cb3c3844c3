"""The parts of gpt-oss as they run, against plain formulas: openai/gpt-oss, gpt_oss/torch/model.py and weights.py."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest
from mlx_lm.models.base import create_attention_mask

from gptoss_acp.engine import rope, weights
from gptoss_acp.engine.architecture import AS_TRAINED
from tests.support import random_checkpoint
from tests.support.random_checkpoint import SHAPE

SEED = 5
LAYER = 0
TOKENS = 200  # more than a window

Array = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def published() -> random_checkpoint.Weights:
    return random_checkpoint.as_published(random_checkpoint.weights(SEED))


@pytest.fixture(scope="module")
def stored(published: random_checkpoint.Weights) -> random_checkpoint.Weights:
    """What the tensors of layer 0 stand for, without their common prefix."""
    prefix = f"model.layers.{LAYER}."
    computed = random_checkpoint.as_computed(published)
    return {name.removeprefix(prefix): array for name, array in computed.items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, published: random_checkpoint.Weights) -> Any:
    return weights.load(random_checkpoint.write(tmp_path_factory.mktemp("formulas") / "model", published)).model


@pytest.fixture(scope="module")
def x() -> Array:
    """Normed hidden states, (tokens, hidden)."""
    return np.random.default_rng(SEED).standard_normal((TOKENS, SHAPE.hidden_size), np.float32)


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    share: Array = powers / powers.sum(-1, keepdims=True)
    return share


def swiglu(gate: Array, linear: Array) -> Array:
    """`swiglu`: limits, a sigmoid of 1.702 times the gate, and 1 more than the linear part."""
    gate, linear = np.minimum(gate, 7), np.clip(linear, -7, 7)
    out: Array = gate / (1 + np.exp(-1.702 * gate)) * (linear + 1)
    return out


def test_swiglu(model: Any) -> None:
    gate, linear = np.random.default_rng(SEED).uniform(-12, 12, (2, 1000)).astype(np.float32)
    found = model.layers[LAYER].mlp.experts.activation(mx.array(linear), mx.array(gate))
    np.testing.assert_allclose(np.array(found), swiglu(gate, linear), rtol=1e-5, atol=1e-5)


def test_mxfp4_dequantisation(model: Any, published: random_checkpoint.Weights) -> None:
    """`_get_mxfp4_tensor`, and OCP Microscaling Formats 1.0: two numbers in E2M1 a byte, a power of two for 32."""
    matrix = model.layers[LAYER + 1].mlp.experts.down_proj  # of a layer that no other test looks at
    blocks = published["model.layers.1.mlp.experts.down_proj_blocks"]
    every_byte = np.resize(np.arange(256, dtype=np.uint8), blocks.shape)
    scales = np.resize(np.arange(97, 157, dtype=np.uint8), blocks.shape[:-1])
    matrix.weight = mx.array(every_byte).view(mx.uint32).flatten(-2)
    matrix.scales = mx.array(scales)
    matrix.bias = mx.zeros_like(matrix.bias)
    columns = np.eye(SHAPE.intermediate_size, dtype=np.float32)
    for expert in range(SHAPE.num_local_experts):
        found = matrix(mx.array(columns)[:, None, :], mx.full((len(columns),), expert))  # (columns, 1, rows)
        expected = random_checkpoint.unpack(every_byte[expert], scales[expert])
        np.testing.assert_array_equal(np.array(found)[:, 0].T, expected)


def test_router_and_experts(model: Any, x: Array, stored: random_checkpoint.Weights) -> None:
    """`MLPBlock`: the softmax is of the chosen experts' scores only."""
    scores = x @ stored["mlp.router.weight"].T + stored["mlp.router.bias"]
    chosen = np.argsort(-scores, -1)[:, : SHAPE.num_experts_per_tok]
    shares = softmax(np.take_along_axis(scores, chosen, -1))
    expected = np.zeros_like(x)
    for token, (experts, its_shares) in enumerate(zip(chosen, shares, strict=True)):
        for expert, share in zip(experts, its_shares, strict=True):
            both = (
                x[token] @ stored["mlp.experts.gate_up_proj"][expert] + stored["mlp.experts.gate_up_proj_bias"][expert]
            )
            inner = swiglu(both[::2], both[1::2])
            out = inner @ stored["mlp.experts.down_proj"][expert] + stored["mlp.experts.down_proj_bias"][expert]
            expected[token] += share * out
    found = np.array(model.layers[LAYER].mlp(mx.array(x)[None]))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("window", [SHAPE.sliding_window, 0], ids=["sliding", "full"])
def test_attention_with_sinks(model: Any, x: Array, stored: random_checkpoint.Weights, window: int) -> None:
    """`sdpa`: a sink takes its share of the softmax and gives nothing; the window holds the token itself."""

    def heads(name: str, count: int) -> Array:
        y = x @ stored[f"self_attn.{name}.weight"].T + stored[f"self_attn.{name}.bias"]
        split: Array = y.reshape(TOKENS, count, SHAPE.head_dim).swapaxes(0, 1)
        return split

    groups = SHAPE.num_attention_heads // SHAPE.num_key_value_heads
    queries = turned(heads("q_proj", SHAPE.num_attention_heads))
    keys, values = turned(heads("k_proj", SHAPE.num_key_value_heads)), heads("v_proj", SHAPE.num_key_value_heads)
    scores = queries @ keys.repeat(groups, 0).swapaxes(-1, -2) / np.sqrt(np.float32(SHAPE.head_dim))
    back = np.arange(TOKENS)[:, None] - np.arange(TOKENS)
    scores = np.where((back < 0) | (back >= (window or TOKENS)), -np.inf, scores)
    sinks = np.broadcast_to(stored["self_attn.sinks"][:, None, None], (*scores.shape[:-1], 1))
    shares = softmax(np.concatenate([scores, sinks], -1))[..., :-1]
    seen = (shares @ values.repeat(groups, 0)).swapaxes(0, 1).reshape(TOKENS, -1)
    expected = seen @ stored["self_attn.o_proj.weight"].T + stored["self_attn.o_proj.bias"]
    states = mx.array(x)[None]
    mask = create_attention_mask(states, None, window_size=window or None)
    found = np.array(model.layers[LAYER].self_attn(states, mask))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def turned(x: Array) -> Array:
    """`_apply_rotary_emb` for (heads, tokens, head_dim)."""
    angles = np.arange(TOKENS)[:, None] * rope.frequencies(AS_TRAINED, SHAPE.head_dim)
    cosine, sine = (np.float32(rope.scale(AS_TRAINED)) * turn(angles) for turn in (np.cos, np.sin))
    left, right = np.split(x, 2, axis=-1)
    rotated: Array = np.concatenate([left * cosine - right * sine, right * cosine + left * sine], -1)
    return rotated
