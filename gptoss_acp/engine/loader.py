"""A checkpoint's files to a model in memory.

Knows mlx-lm's models and the bundled model's compact format. Imported on the engine's thread only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_flatten
from mlx_lm.models import gpt_oss
from mlx_lm.models.cache import KVCache
from mlx_lm.utils import load_config, load_model

from gptoss_acp.engine import tiny

GPT_OSS_CONTEXT_LENGTH = 131_072


@dataclass(frozen=True)
class LoadedModel:
    """A model with what it says about itself; temperature and top_p are its sampling defaults.

    `nbytes` are the weights'; `bytes_per_token` is what one token adds to the full-attention layers' caches. `digest`
    stands for the files and the MLX version: caches of equal digests can be exchanged.
    """

    model: Module
    nbytes: int
    bytes_per_token: int
    digest: str
    context_length: int
    temperature: float
    top_p: float


def load(folder: Path | None) -> LoadedModel:
    """Load the checkpoint in `folder`, or the bundled model.

    Raises:
        ValueError, FileNotFoundError: the folder does not hold a complete gpt-oss checkpoint.
    """
    model, config = _load_bundled() if folder is None else _load_folder(folder)
    if mx.default_device() == mx.cpu:
        _widen_experts(model)
    mx.eval(model)
    return LoadedModel(
        model,
        _nbytes(model),
        _bytes_per_token(model),
        _digest(folder or tiny.data_folder()),
        int(config.get("max_position_embeddings", GPT_OSS_CONTEXT_LENGTH)),
        float(config.get("temperature", 1.0)),
        float(config.get("top_p", 1.0)),
    )


def _load_folder(folder: Path) -> tuple[Module, dict[str, Any]]:
    kind = load_config(folder).get("model_type")
    if kind != "gpt_oss":
        raise ValueError(f"it is a {kind} model, and this program runs gpt_oss models")
    model, config = load_model(folder, lazy=True)
    return model, config


def _load_bundled() -> tuple[Module, dict[str, Any]]:
    config = tiny.config()
    model = gpt_oss.Model(gpt_oss.ModelArgs.from_dict(config))
    weights = {name: mx.array(array) for name, array in tiny.weights().items()}
    model.load_weights(list(model.sanitize(weights).items()))
    return model, config


def _nbytes(model: Any) -> int:
    leaves: Any = tree_flatten(model.parameters())
    return sum(array.nbytes for _, array in leaves)


def _bytes_per_token(model: Any) -> int:
    full = sum(isinstance(layer, KVCache) for layer in model.make_cache())
    itemsize = model.model.layers[0].input_layernorm.weight.dtype.size
    return int(2 * full * model.args.num_key_value_heads * model.args.head_dim * itemsize)


def _digest(folder: Path) -> str:
    # Hashing gigabytes would take longer than what it saves, so a file is known by its size and time.
    facts = [version("mlx"), str(mx.default_device()), (folder / "config.json").read_text("utf-8")]
    for file in sorted(folder.iterdir()):
        if file.suffix in (".safetensors", ".npz"):
            status = file.stat()
            facts.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _widen_experts(model: Module) -> None:
    # MLX's CPU backend multiplies gathered experts in float32 only.
    model.apply(lambda array: array.astype(mx.float32) if array.dtype in (mx.float16, mx.bfloat16) else array)
