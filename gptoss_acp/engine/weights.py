"""A checkpoint's files to a model in memory.

Knows mlx-lm's models and the bundled model's compact format. Imported on the engine's thread only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_flatten
from mlx_lm.models import gpt_oss
from mlx_lm.models.cache import KVCache
from mlx_lm.utils import load_model

from gptoss_acp.engine import bundled
from gptoss_acp.engine.api import LoadProgress

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


def load(folder: Path | None, report: Callable[[LoadProgress], None] = lambda _: None) -> LoadedModel:
    """Load the gpt-oss checkpoint in `folder`, or the bundled model; `report` is told how far that is.

    Raises:
        ValueError, FileNotFoundError: the folder does not hold what its config says.
    """
    model, config = _load_bundled() if folder is None else load_model(folder, lazy=True)
    if mx.default_device() == mx.cpu:
        _widen_experts(model)
    _read(model, report)
    return LoadedModel(
        model,
        _nbytes(model),
        _bytes_per_token(model),
        _digest(folder or bundled.data_folder()),
        int(config.get("max_position_embeddings", GPT_OSS_CONTEXT_LENGTH)),
        float(config.get("temperature", 1.0)),
        float(config.get("top_p", 1.0)),
    )


def _load_bundled() -> tuple[Module, dict[str, Any]]:
    config = bundled.config()
    model = gpt_oss.Model(gpt_oss.ModelArgs.from_dict(config))
    weights = {name: mx.array(array) for name, array in bundled.weights().items()}
    model.load_weights(list(model.sanitize(weights).items()))
    return model, config


def _read(model: Module, report: Callable[[LoadProgress], None]) -> None:
    """Bring the weights into memory: until they are evaluated, nothing but their files' headers has been read."""
    done, total = 0, _nbytes(model)
    report(LoadProgress(done, total))
    for array in _arrays(model):
        mx.eval(array)
        done += array.nbytes
        report(LoadProgress(done, total))
    mx.eval(model)  # the little that is no parameter, such as the positions' frequencies


def _nbytes(model: Module) -> int:
    return sum(array.nbytes for array in _arrays(model))


def _arrays(model: Any) -> list[mx.array]:
    leaves: Any = tree_flatten(model.parameters())
    return [array for _, array in leaves]


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
