"""Which tensors a gpt-oss checkpoint consists of, in each of the layouts that it comes in.

OpenAI's (experts in MXFP4: blocks and scales), Hugging Face's in full precision (experts transposed, gate and up in
turns), and mlx-lm's (gate and up apart; whatever is quantised has scales beside it). Knows names and shapes. Knows
nothing about files or what is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gptoss_acp.engine.architecture import Architecture

BLOCK = 32
"""Numbers that share one scale in MXFP4 (OCP Microscaling Formats 1.0, 5.2); two go into a byte."""

Shape = tuple[int, ...]


def mismatch(architecture: Architecture, present: Mapping[str, Shape]) -> str | None:
    """Return how the tensors that are `present`, with their shapes, are not what the config says; None if nowise."""
    wanted = dict(_wanted(architecture, present))
    for name, shape in wanted.items():
        if name not in present:
            return f"the tensor {name} is missing"
        if not _fits(present[name], shape):
            return f"the tensor {name} is {_told(present[name])}, and by config.json it is {_told(shape)}"
    unknown = min(present.keys() - wanted.keys(), default=None)
    return unknown and f"by config.json there is no tensor {unknown}"


def is_divided(name: str) -> bool:
    """Whether several machines have a part each of this tensor, as mlx-lm's `shard` divides a gpt-oss model."""
    return ".self_attn." in name or ".mlp.experts." in name


def _fits(shape: Shape, wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(size in {0, other} for size, other in zip(wanted, shape, strict=True))


def _told(shape: Shape) -> str:
    return " x ".join(str(size or "any") for size in shape)


def _wanted(architecture: Architecture, present: Mapping[str, Shape]) -> Iterator[tuple[str, Shape]]:
    """Yield the names and shapes; a size 0 is any, where how many bits are packed into a word is not known here."""
    hidden, vocabulary = architecture.hidden_size, architecture.vocab_size
    yield "model.norm.weight", (hidden,)
    for name in ("model.embed_tokens", "lm_head"):
        yield from _matrix(name, (vocabulary, hidden), present)
    for layer in range(architecture.num_hidden_layers):
        yield from _layer(architecture, f"model.layers.{layer}", present)


def _layer(architecture: Architecture, at: str, present: Mapping[str, Shape]) -> Iterator[tuple[str, Shape]]:
    hidden, heads = architecture.hidden_size, architecture.num_attention_heads
    queries, keys = (count * architecture.head_dim for count in (heads, architecture.num_key_value_heads))
    yield f"{at}.input_layernorm.weight", (hidden,)
    yield f"{at}.post_attention_layernorm.weight", (hidden,)
    yield f"{at}.self_attn.sinks", (heads,)
    for name, rows, columns in (
        ("self_attn.q_proj", queries, hidden),
        ("self_attn.k_proj", keys, hidden),
        ("self_attn.v_proj", keys, hidden),
        ("self_attn.o_proj", hidden, queries),
        ("mlp.router", architecture.num_local_experts, hidden),
    ):
        yield from _matrix(f"{at}.{name}", (rows, columns), present)
        yield f"{at}.{name}.bias", (rows,)
    yield from _experts(architecture, f"{at}.mlp.experts", present)


def _experts(architecture: Architecture, at: str, present: Mapping[str, Shape]) -> Iterator[tuple[str, Shape]]:
    experts, hidden, inner = architecture.num_local_experts, architecture.hidden_size, architecture.intermediate_size
    if f"{at}.gate_proj.weight" in present:
        for name, rows, columns in (("gate", inner, hidden), ("up", inner, hidden), ("down", hidden, inner)):
            yield from _matrix(f"{at}.{name}_proj", (experts, rows, columns), present)
            yield f"{at}.{name}_proj.bias", (experts, rows)
        return
    for name, rows, columns in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
        yield f"{at}.{name}_bias", (experts, rows)
        if f"{at}.{name}" in present:
            yield f"{at}.{name}", (experts, columns, rows)
        else:
            yield f"{at}.{name}_blocks", (experts, rows, columns // BLOCK, BLOCK // 2)
            yield f"{at}.{name}_scales", (experts, rows, columns // BLOCK)


def _matrix(name: str, shape: Shape, present: Mapping[str, Shape]) -> Iterator[tuple[str, Shape]]:
    if f"{name}.scales" not in present:
        yield f"{name}.weight", shape
        return
    for part in ("weight", "scales", "biases"):
        if part != "biases" or f"{name}.biases" in present:
            yield f"{name}.{part}", (*shape[:-1], 0)
