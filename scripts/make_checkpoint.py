"""Writes a gpt-oss checkpoint with random weights, in the format of openai/gpt-oss-20b: for loading and speed only.

The files are those of the original: config.json, sharded safetensors with an index, bfloat16 weights and MXFP4 experts
(blocks of 32 four-bit numbers with one shared exponent; OCP Microscaling Formats 1.0).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx

BLOCK = 32
VOCABULARY = 201_088


@dataclass(frozen=True)
class Shape:
    """The sizes that differ from model to model, by their names in config.json."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_local_experts: int
    num_experts_per_tok: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int = 64
    sliding_window: int = 128


SHAPES = {
    "20b": Shape(24, 2880, 2880, 32, 4, 64, 8),
    "120b": Shape(36, 2880, 2880, 128, 4, 64, 8),
    "tiny-random": Shape(4, 64, 64, 4, 2, 4, 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--layers", type=int, help="how many layers, an even number; default: the shape's own")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    layers = options.layers or SHAPES[options.shape].num_hidden_layers
    if layers % 2:
        parser.error("gpt-oss alternates sliding and full attention: --layers must be even")
    shape = Shape(**{**asdict(SHAPES[options.shape]), "num_hidden_layers": layers})
    size = write(shape, options.out, options.seed)
    print(f"{options.out}: {layers} layers, {size / 1e9:.2f} GB")


def write(shape: Shape, folder: Path, seed: int = 0) -> int:
    """Write the checkpoint, one shard a layer so that little memory is needed, and return its size in bytes."""
    mx.random.seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(shape), indent=2), "utf-8")
    shards = [partial(outer_weights, shape)]
    shards += [partial(layer_weights, shape, layer) for layer in range(shape.num_hidden_layers)]
    weight_map: dict[str, str] = {}
    size = 0
    for number, make in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        weights = make()
        mx.save_safetensors(str(folder / name), weights, {"format": "pt"})
        weight_map.update(dict.fromkeys(weights, name))
        size += sum(array.nbytes for array in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), "utf-8")
    return size


def config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        **asdict(shape),
        "vocab_size": VOCABULARY,
        "layer_types": ["sliding_attention", "full_attention"] * (shape.num_hidden_layers // 2),
        "max_position_embeddings": 131_072,
        "initial_context_length": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 150_000,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "original_max_position_embeddings": 4096,
            "truncate": False,
        },
        "attention_bias": True,
        "hidden_act": "silu",
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "eos_token_id": 200_002,
        "pad_token_id": 199_999,
        "quantization_config": {
            "quant_method": "mxfp4",
            "modules_to_not_convert": [
                "model.layers.*.self_attn",
                "model.layers.*.mlp.router",
                "model.embed_tokens",
                "lm_head",
            ],
        },
    }


def outer_weights(shape: Shape) -> dict[str, mx.array]:
    """Embedding and output rows, (vocabulary, hidden) bfloat16, and the last norm."""
    return {
        "model.embed_tokens.weight": normal(VOCABULARY, shape.hidden_size),
        "model.norm.weight": mx.ones((shape.hidden_size,), mx.bfloat16),
        "lm_head.weight": normal(VOCABULARY, shape.hidden_size),
    }


def layer_weights(shape: Shape, layer: int) -> dict[str, mx.array]:
    hidden, heads, kv_heads = shape.hidden_size, shape.num_attention_heads, shape.num_key_value_heads
    experts, inner = shape.num_local_experts, shape.intermediate_size
    weights = {
        "input_layernorm.weight": mx.ones((hidden,), mx.bfloat16),
        "post_attention_layernorm.weight": mx.ones((hidden,), mx.bfloat16),
        "self_attn.sinks": normal(heads),
        **linear("self_attn.q_proj", heads * shape.head_dim, hidden),
        **linear("self_attn.k_proj", kv_heads * shape.head_dim, hidden),
        **linear("self_attn.v_proj", kv_heads * shape.head_dim, hidden),
        **linear("self_attn.o_proj", hidden, heads * shape.head_dim),
        **linear("mlp.router", experts, hidden),
        **expert("gate_up_proj", experts, 2 * inner, hidden),
        **expert("down_proj", experts, hidden, inner),
    }
    return {f"model.layers.{layer}.{name}": array for name, array in weights.items()}


def linear(name: str, rows: int, columns: int) -> dict[str, mx.array]:
    return {f"{name}.weight": normal(rows, columns), f"{name}.bias": normal(rows)}


def expert(name: str, experts: int, rows: int, columns: int) -> dict[str, mx.array]:
    """A matrix of every expert in MXFP4: blocks (experts, rows, columns / 32, 16) and scales without the 16, uint8."""
    blocks = columns // BLOCK
    numbers = mx.random.randint(0, 256, (experts, rows, blocks, BLOCK // 2)).astype(mx.uint8)
    # The exponent of 2, biased by 127: numbers of about 0.02, as a trained model's are.
    scales = mx.random.randint(119, 122, (experts, rows, blocks)).astype(mx.uint8)
    prefix = f"mlp.experts.{name}"
    return {f"{prefix}_blocks": numbers, f"{prefix}_scales": scales, f"{prefix}_bias": normal(experts, rows)}


def normal(*shape: int) -> mx.array:
    return (mx.random.normal(shape) * 0.02).astype(mx.bfloat16)


if __name__ == "__main__":
    main()
