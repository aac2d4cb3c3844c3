"""A checkpoint is the same model in every layout that it comes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest
from mlx_lm.utils import dequantize_model, load_model, quantize_model, save_config, save_model

from gptoss_acp.engine import architecture, checkpoints, rope, weights
from tests.support import random_checkpoint

SEED = 11
TOKENS = random_checkpoint.tokens(150, SEED)  # more than a window
TOLERANCE = 1e-4
"""Of log-probabilities, for what rounding in another order makes of the same weights."""

Array = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def published() -> random_checkpoint.Weights:
    return random_checkpoint.as_published(random_checkpoint.weights(SEED))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, published: random_checkpoint.Weights) -> Path:
    """A checkpoint in OpenAI's layout."""
    return random_checkpoint.write(tmp_path_factory.mktemp("published") / "model", published)


@pytest.fixture(scope="module")
def expected(folder: Path) -> Array:
    return log_probabilities(loaded(folder))


def loaded(folder: Path) -> Any:
    assert checkpoints.damage("model", folder) is None
    return weights.load(folder).model


def log_probabilities(model: Any) -> Array:
    """Return those of the last token, (vocabulary,)."""
    hidden = model.model(mx.array([TOKENS]), cache=model.make_cache())
    logits = model.lm_head(hidden[0, -1:]).astype(mx.float32)
    found: Array = np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))[0]
    return found


def far(found: Array, expected: Array) -> float:
    likely = expected > np.log(1e-4)
    return float(np.abs(found - expected)[likely].max())


def write_full(folder: Path, arrays: random_checkpoint.Weights, dtype: mx.Dtype) -> Path:
    """Write weights as Hugging Face does in full precision: experts' matrices transposed, gate and up in turns."""
    folder.mkdir()
    config = {name: value for name, value in random_checkpoint.CONFIG.items() if name != "quantization_config"}
    (folder / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(
        str(folder / "model.safetensors"), {name: mx.array(array).astype(dtype) for name, array in arrays.items()}
    )
    return folder


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
def test_full_precision_of_hugging_face_is_the_same_model(
    dtype: mx.Dtype, published: random_checkpoint.Weights, expected: Array, tmp_path: Path
) -> None:
    folder = write_full(tmp_path / "full", random_checkpoint.as_computed(published), dtype)
    assert far(log_probabilities(loaded(folder)), expected) < TOLERANCE


def test_positions_as_transformers_5_tells_them_are_the_same(
    published: random_checkpoint.Weights, expected: Array, tmp_path: Path
) -> None:
    told = {**random_checkpoint.CONFIG["rope_scaling"], "rope_theta": 150_000.0}
    folder = random_checkpoint.write(
        tmp_path / "5", published, rope_parameters=told, rope_scaling=None, rope_theta=None
    )
    assert far(log_probabilities(loaded(folder)), expected) < TOLERANCE


def test_what_mlx_lm_writes_is_the_same_model(folder: Path, expected: Array, tmp_path: Path) -> None:
    model, config = load_model(folder)
    save_model(tmp_path / "same", model)
    save_config(config, tmp_path / "same" / "config.json")
    assert far(log_probabilities(loaded(tmp_path / "same")), expected) < TOLERANCE
    config.pop("quantization"), config.pop("quantization_config")
    save_model(tmp_path / "dequantised", dequantize_model(model))
    save_config(config, tmp_path / "dequantised" / "config.json")
    assert far(log_probabilities(loaded(tmp_path / "dequantised")), expected) < TOLERANCE


@pytest.mark.parametrize("dequantised", [False, True], ids=["MXFP4 and 8 bits", "4 bits"])
def test_what_mlx_lm_quantises_is_read_with_the_bits_that_it_has(
    folder: Path, *, dequantised: bool, expected: Array, tmp_path: Path
) -> None:
    model, config = load_model(folder)
    if dequantised:
        model = dequantize_model(model)
        config.pop("quantization"), config.pop("quantization_config")
    model, config = quantize_model(model, config, 64, 4 if dequantised else 8, quant_predicate=model.quant_predicate)
    save_model(tmp_path / "packed", model)
    save_config(config, tmp_path / "packed" / "config.json")
    said = architecture.parse(json.loads((folder / "config.json").read_text()))
    rope.correct(model, said.rope, said.head_dim)
    model.apply(lambda array: array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)
    packed = loaded(tmp_path / "packed")
    assert packed.model.layers[0].mlp.router.bits == 8
    assert packed.lm_head.bits == (4 if dequantised else 8)
    assert packed.model.layers[0].mlp.experts.up_proj.mode == ("affine" if dequantised else "mxfp4")
    found = log_probabilities(packed)
    assert far(found, log_probabilities(model)) < TOLERANCE
    assert far(found, expected) > 10 * TOLERANCE  # so it is no wonder that they agree


def test_the_limit_of_the_experts_gates_is_the_checkpoints(
    folder: Path, published: random_checkpoint.Weights, expected: Array, tmp_path: Path
) -> None:
    limited = random_checkpoint.write(tmp_path / "limited", published, swiglu_limit=2.0)
    assert far(log_probabilities(loaded(limited)), expected) > 100 * TOLERANCE
