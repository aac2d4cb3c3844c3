"""A checkpoint's files to a model in memory that computes what its config says.

Knows mlx-lm's gpt-oss and where that is not OpenAI's, the layouts of checkpoints, and the bundled model's compact
format. Imported on the engine's thread only.
"""

from __future__ import annotations

import hashlib
import logging
from collections import ChainMap
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import mlx.core as mx
from mlx.nn.layers.quantized import quantize
from mlx.utils import tree_flatten
from mlx_lm.models import gpt_oss
from mlx_lm.models.activations import SwigluOAI
from mlx_lm.models.cache import KVCache
from mlx_lm.utils import infer_quant_config

from gptoss_acp.engine import architecture, bundled, checkpoints, rope
from gptoss_acp.engine.api import LoadProgress
from gptoss_acp.engine.ranks import sharding
from gptoss_acp.engine.ranks.group import ALONE, Ranks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlx.nn.layers.base import Module

    from gptoss_acp.engine.architecture import Architecture

log = logging.getLogger(__name__)

REVISION = 2
"""To be raised when what this room makes of the same files computes other numbers than before."""

Arrays = dict[str, mx.array]

SAMPLING = {"temperature": 10, "top_p": 1}
"""How large each may be, as in the settings."""

_TRANSPOSED = (".experts.gate_up_proj", ".experts.down_proj")
"""How the names of the experts' matrices end in Hugging Face's layout of full precision: (experts, columns, rows)."""


@dataclass(frozen=True)
class LoadedModel:
    """A model with what it says about itself; temperature and top_p are its sampling defaults.

    `nbytes` are the weights'; `bytes_per_token` is what one token adds to the full-attention layers' caches. `digest`
    stands for the files and for what computes with them: caches of equal digests can be exchanged.
    """

    model: Module
    nbytes: int
    bytes_per_token: int
    digest: str
    context_length: int
    temperature: float
    top_p: float


def load(
    folder: Path | None, report: Callable[[LoadProgress], None] = lambda _: None, ranks: Ranks = ALONE
) -> LoadedModel:
    """Load the gpt-oss checkpoint in `folder`, or the bundled model; `report` is told how far that is.

    Of several ranks each loads its part.

    Raises:
        EngineError: its config asks for what is not computed here.
        ValueError, OSError: the folder does not hold what its config says.
    """
    with ranks.together():
        said, weights = _bundled() if folder is None else _read_folder(folder)
        described = architecture.parse(said)
        if described.unknown_fields:
            log.warning("fields of config.json that nobody here knows: %s", ", ".join(described.unknown_fields))
        model = _assemble(described, weights)
        del weights  # or each would stay in memory in the form that it has in its file, too
        if ranks.size > 1:
            sharding.shard(model, ranks)
    if mx.default_device() == mx.cpu:
        _widen(model)
    _read(model, report)
    return LoadedModel(
        model,
        _nbytes(model),
        _bytes_per_token(model) // ranks.size,
        _digest(folder, ranks),
        described.max_position_embeddings,
        *(_sampling(said, name) for name in SAMPLING),
    )


def _bundled() -> tuple[dict[str, Any], Arrays]:
    return bundled.config(), {name: mx.array(array) for name, array in bundled.weights().items()}


def _read_folder(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """Return what a checkpoint says about itself, and its weights, none of which has been read yet."""
    said: dict[str, Any] = checkpoints.read_json(folder / checkpoints.CONFIG)
    try:
        sampling = checkpoints.read_json(folder / checkpoints.GENERATION_CONFIG)
        said |= {name: sampling[name] for name in SAMPLING if name in sampling}
    except FileNotFoundError:
        pass
    except checkpoints.UNREADABLE as error:
        log.warning("%s can't be read, so nothing is taken from it: %s", checkpoints.GENERATION_CONFIG, error)
    files: list[Any] = [mx.load(str(file)) for file in checkpoints.weight_files(folder)]
    return said, dict(ChainMap(*files))


def _assemble(described: Architecture, weights: Arrays) -> Module:
    """Return mlx-lm's model with these weights, in any layout, and with what it would compute otherwise set right."""
    positions = described.rope.model_dump()
    fields = {
        **described.model_dump(),
        "layer_types": described.attention,
        "rope_theta": positions["rope_theta"],
        "rope_scaling": positions,
    }
    model: Any = gpt_oss.Model(gpt_oss.ModelArgs.from_dict(fields))
    weights = model.sanitize(dict(_upright(name, array) for name, array in weights.items()))

    def quantisation(path: str, module: Module) -> dict[str, Any] | bool:
        return f"{path}.scales" in weights and infer_quant_config(path, module, weights)

    quantize(model, class_predicate=quantisation)
    model.load_weights(list(weights.items()))
    rope.correct(model, described.rope, described.head_dim)
    for layer in model.layers:
        layer.mlp.experts.activation = SwigluOAI(described.swiglu_alpha, described.swiglu_limit)
    assembled: Module = model.eval()
    return assembled


def _upright(name: str, array: mx.array) -> tuple[str, mx.array]:
    return (f"{name}.weight", array.swapaxes(-1, -2)) if name.endswith(_TRANSPOSED) else (name, array)


def _read(model: Module, report: Callable[[LoadProgress], None]) -> None:
    """Bring the weights into memory: until they are evaluated, nothing but their files' headers has been read.

    The largest come first, since what one is made of is in memory beside it for a moment.
    """
    done, total = 0, _nbytes(model)
    report(LoadProgress(done, total))
    for array in sorted(_arrays(model), key=lambda array: -array.nbytes):
        mx.eval(array)
        mx.clear_cache()
        done += array.nbytes
        report(LoadProgress(done, total))
    mx.eval(model)  # the little that is no parameter, such as the positions' frequencies


def _nbytes(model: Module) -> int:
    return sum(array.nbytes for array in _arrays(model))


def _arrays(model: Any) -> list[mx.array]:
    leaves: Any = tree_flatten(model.parameters())
    return [array for _, array in leaves]


def _sampling(said: dict[str, Any], name: str) -> float:
    value, most = said.get(name), SAMPLING[name]
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most:
        return float(value)
    if value is not None:
        log.warning("the checkpoint's %s is no number between 0 and %d, so 1 is taken", name, most)
    return 1.0


def _bytes_per_token(model: Any) -> int:
    full = sum(isinstance(layer, KVCache) for layer in model.make_cache())
    itemsize = model.model.layers[0].input_layernorm.weight.dtype.size
    return int(2 * full * model.args.num_key_value_heads * model.args.head_dim * itemsize)


def _digest(folder: Path | None, ranks: Ranks) -> str:
    files = [bundled.data_folder() / bundled.WEIGHTS] if folder is None else checkpoints.weight_files(folder)
    config = (folder or bundled.data_folder()) / checkpoints.CONFIG
    # Hashing gigabytes would take longer than what it saves, so a file is known by its size and time.
    facts = [metadata.version("mlx"), metadata.version("mlx-lm"), str(REVISION), str(mx.default_device())]
    facts.append(config.read_text("utf-8"))
    if ranks.size > 1:
        facts.append(f"rank {ranks.rank} of {ranks.size}")
    for file in files:
        status = file.stat()
        facts.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _widen(model: Any) -> None:
    # MLX's CPU backend multiplies gathered experts in float32 only, and everything faster. The embeddings are only
    # looked up, and widened where they meet the rest.
    embeddings = model.model.embed_tokens.weight
    model.apply(lambda array: array.astype(mx.float32) if array.dtype in (mx.float16, mx.bfloat16) else array)
    model.model.embed_tokens.weight = embeddings
