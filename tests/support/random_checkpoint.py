"""A gpt-oss checkpoint of random weights, the same on every machine, in which a wrong position or expert is seen at once.

Weights are in Hugging Face's names and axes, or as OpenAI publishes them, with the experts in MXFP4 (OCP Microscaling
Formats 1.0). Knows the layouts. Knows nothing about the program, nor about what computes the reference.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Weights = dict[str, Array]


class Shape(NamedTuple):
    """Sizes, by their names in config.json."""

    vocab_size: int = 201_088
    num_hidden_layers: int = 4
    hidden_size: int = 64
    intermediate_size: int = 64
    num_local_experts: int = 8
    num_experts_per_tok: int = 3
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    sliding_window: int = 128


SHAPE = Shape()

CONFIG: dict[str, Any] = {
    **SHAPE._asdict(),
    "architectures": ["GptOssForCausalLM"],
    "attention_bias": True,
    "attention_dropout": 0.0,
    "eos_token_id": 200_002,
    "experts_per_token": SHAPE.num_experts_per_tok,
    "hidden_act": "silu",
    "initial_context_length": 4096,
    "initializer_range": 0.02,
    "layer_types": ["sliding_attention", "full_attention"] * (SHAPE.num_hidden_layers // 2),
    "max_position_embeddings": 131_072,
    "model_type": "gpt_oss",
    "output_router_logits": False,
    "pad_token_id": 199_999,
    "quantization_config": {
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"],
        "quant_method": "mxfp4",
    },
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "rope_type": "yarn",
        "truncate": False,
    },
    "rope_theta": 150_000,
    "router_aux_loss_coef": 0.9,
    "swiglu_limit": 7.0,
    "tie_word_embeddings": False,
    "transformers_version": "4.55.0.dev0",
    "use_cache": True,
}
"""The config.json that OpenAI published with gpt-oss-20b, but for the sizes."""

GAINS = {
    "q_proj": 1.3,
    "k_proj": 1.3,
    "router": 2.0,
    "gate_up_proj": 3.0,  # so that some gates reach the limit
    "down_proj": 0.3,
    "lm_head": 4.0,
}
"""How large the outputs of a matrix are for inputs of size 1; others' are 1. So attention looks at few places."""

MAGNITUDES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
"""What the lower three bits of a number in E2M1 stand for; the fourth is the sign."""
LARGEST_EXPONENT = 2
BIAS = 127
BLOCK = 32


def weights(seed: int) -> Weights:
    """Return float32 weights for SHAPE."""
    return {name: _draw(name, shape, seed) for name, shape in _shapes()}


def rounded(weights: Weights) -> Weights:
    """Return the weights as bfloat16 holds them, in float32."""
    return {name: _rounded(array) for name, array in weights.items()}


def tokens(count: int, seed: int) -> list[int]:
    """Return ordinary ids."""
    return [int(word % 199_000) for word in np.random.PCG64(seed).random_raw(count)]


def as_published(weights: Weights) -> Weights:
    """Return the tensors of OpenAI's layout: the experts' matrices as blocks and scales, uint8."""
    tensors: Weights = {}
    for name, array in rounded(weights).items():
        if name.endswith(("gate_up_proj", "down_proj")):
            tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = pack(array.swapaxes(-1, -2))
        else:
            tensors[name] = array
    return tensors


def as_computed(tensors: Weights) -> Weights:
    """Return the weights that the tensors of OpenAI's layout stand for."""
    weights = {}
    for name, array in tensors.items():
        if name.endswith("_blocks"):
            scales = tensors[name.replace("_blocks", "_scales")]
            weights[name.removesuffix("_blocks")] = unpack(array, scales).swapaxes(-1, -2)
        elif not name.endswith("_scales"):
            weights[name] = array
    return weights


def write(folder: Path, tensors: Weights, **fields: Any) -> Path:
    """Write tensors of OpenAI's layout with its config, some of whose fields may be others."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **fields}), "utf-8")
    arrays = {name: mx.array(array) for name, array in tensors.items()}
    narrow = {name: array if array.dtype == mx.uint8 else array.astype(mx.bfloat16) for name, array in arrays.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), narrow, {"format": "pt"})
    return folder


def write_every_expert(folder: Path, seed: int = 7) -> Path:
    """Write a checkpoint of two experts that every token goes to both of, so that rounding does not change to which."""
    drawn = rounded(weights(seed))
    tensors = {name: _of_two_experts(name, array) for name, array in drawn.items()}
    counts = dict.fromkeys(("num_local_experts", "num_experts_per_tok", "experts_per_token"), 2)
    return write(folder, tensors, quantization_config=None, **counts)


def pack(matrix: Array) -> tuple[Array, Array]:
    """Return (..., columns) float32 as blocks (..., columns / 32, 16) and scales (..., columns / 32), both uint8."""
    blocks = matrix.reshape(*matrix.shape[:-1], -1, BLOCK)
    largest = np.abs(blocks).max(-1, keepdims=True)
    exponents = np.floor(np.log2(largest)) - LARGEST_EXPONENT
    scaled = np.abs(blocks) / np.exp2(exponents)
    nearest = np.abs(scaled[..., None] - MAGNITUDES).argmin(-1)
    numbers = (nearest | (blocks < 0) << 3).astype(np.uint8)
    return numbers[..., ::2] | numbers[..., 1::2] << 4, (exponents[..., 0] + BIAS).astype(np.uint8)


def unpack(blocks: Array, scales: Array) -> Array:
    """Return what blocks and scales stand for, (..., columns) float32."""
    numbers = np.stack([blocks & 15, blocks >> 4], -1).reshape(*blocks.shape[:-1], BLOCK)
    values = MAGNITUDES[numbers & 7] * np.where(numbers & 8, -1, 1)
    scaled: Array = np.ldexp(values.astype(np.float32), scales[..., None].astype(np.int32) - BIAS)
    return scaled.reshape(*scaled.shape[:-2], -1)


def _of_two_experts(name: str, array: Array) -> Array:
    return array[:2] if ".mlp." in name else array


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner, experts = SHAPE.hidden_size, SHAPE.intermediate_size, SHAPE.num_local_experts
    heads, keys = (count * SHAPE.head_dim for count in (SHAPE.num_attention_heads, SHAPE.num_key_value_heads))
    yield "model.embed_tokens.weight", (SHAPE.vocab_size, hidden)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (SHAPE.vocab_size, hidden)
    for layer in range(SHAPE.num_hidden_layers):
        at = f"model.layers.{layer}"
        yield f"{at}.input_layernorm.weight", (hidden,)
        yield f"{at}.post_attention_layernorm.weight", (hidden,)
        yield f"{at}.self_attn.sinks", (SHAPE.num_attention_heads,)
        yield f"{at}.mlp.experts.gate_up_proj", (experts, hidden, 2 * inner)
        yield f"{at}.mlp.experts.gate_up_proj_bias", (experts, 2 * inner)
        yield f"{at}.mlp.experts.down_proj", (experts, inner, hidden)
        yield f"{at}.mlp.experts.down_proj_bias", (experts, hidden)
        for name, rows, columns in (
            ("self_attn.q_proj", heads, hidden),
            ("self_attn.k_proj", keys, hidden),
            ("self_attn.v_proj", keys, hidden),
            ("self_attn.o_proj", hidden, heads),
            ("mlp.router", experts, hidden),
        ):
            yield f"{at}.{name}.weight", (rows, columns)
            yield f"{at}.{name}.bias", (rows,)


def _draw(name: str, shape: tuple[int, ...], seed: int) -> Array:
    # Raw words, for what a generator makes of them may change from one NumPy to the next.
    words = np.random.PCG64([seed, zlib.crc32(name.encode())]).random_raw(int(np.prod(shape)))
    uniform = ((words >> 40) * 2.0**-24 - 0.5).astype(np.float32).reshape(shape) * np.float32(12**0.5)
    if "norm" in name:
        return 1 + uniform / 10
    if name.endswith("bias"):
        return uniform / 2
    gain = next((gain for part, gain in GAINS.items() if part in name), 1.0)
    inputs = 1 if "embed" in name or "sinks" in name else shape[-2] if "experts" in name else shape[-1]
    return uniform * np.float32(gain * inputs**-0.5)


def _rounded(array: Array) -> Array:
    """Return float32 rounded to bfloat16, to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)
