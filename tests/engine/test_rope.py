"""Positions turn queries and keys by the angles of OpenAI's reference, and mlx-lm's own rotation is left where it does."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest
from mlx_lm.models import gpt_oss
from mlx_lm.models.rope_utils import YarnRoPE

from gptoss_acp.engine import rope, weights
from gptoss_acp.engine.architecture import AS_TRAINED, Rope
from gptoss_acp.engine.rope import Rotary

HEAD = 64
ROUNDED = AS_TRAINED.model_copy(update={"truncate": True})
PLAIN = Rope(rope_type="default", rope_theta=150_000.0)


def reference(*, low: float, high: float) -> npt.NDArray[np.float64]:
    """OpenAI's frequencies for a given range (gpt_oss/torch/model.py, _compute_concentration_and_inv_freq)."""
    wave_lengths = 150_000.0 ** (np.arange(0, HEAD, 2) / HEAD)
    mask = 1 - np.clip((np.arange(HEAD // 2) - low) / (high - low), 0, 1)
    frequencies: npt.NDArray[np.float64] = 1 / (32.0 * wave_lengths) * (1 - mask) + 1 / wave_lengths * mask
    return frequencies


def pair(turns: float) -> float:
    return HEAD / 2 * math.log(4096 / (turns * 2 * math.pi)) / math.log(150_000)


def model(told: Rope) -> Any:
    return gpt_oss.Model(
        gpt_oss.ModelArgs(
            num_hidden_layers=2,
            hidden_size=32,
            intermediate_size=32,
            num_local_experts=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            vocab_size=10,
            rope_scaling=told.model_dump(),
        )
    )


def test_the_frequencies_are_those_of_openais_reference() -> None:
    assert (pair(32), pair(1)) == pytest.approx((8.0928, 17.3980), abs=1e-4)
    np.testing.assert_allclose(rope.frequencies(AS_TRAINED, HEAD), reference(low=pair(32), high=pair(1)), rtol=1e-6)
    assert rope.scale(AS_TRAINED) == pytest.approx(0.1 * math.log(32) + 1)


def test_a_range_that_the_checkpoint_says_is_rounded_is_rounded() -> None:
    np.testing.assert_allclose(rope.frequencies(ROUNDED, HEAD), reference(low=8, high=18), rtol=1e-6)


def test_plain_positions_are_not_stretched() -> None:
    np.testing.assert_allclose(rope.frequencies(PLAIN, HEAD), 150_000.0 ** -(np.arange(0, HEAD, 2) / HEAD), rtol=1e-6)
    assert rope.scale(PLAIN) == 1


def test_a_factor_that_the_checkpoint_names_is_taken() -> None:
    assert rope.scale(AS_TRAINED.model_copy(update={"attention_factor": 1.25})) == 1.25


def test_each_row_of_a_batch_is_rotated_from_its_own_position() -> None:
    frequencies = rope.frequencies(AS_TRAINED, HEAD)
    x = np.random.default_rng(0).standard_normal((2, 3, 5, HEAD), np.float32)
    positions = np.array([7, 90])[:, None] + np.arange(5)
    angles = positions[:, None, :, None] * frequencies
    left, right = np.split(x * 1.5, 2, axis=-1)
    cosine, sine = np.cos(angles), np.sin(angles)
    expected = np.concatenate([left * cosine - right * sine, right * cosine + left * sine], -1)
    found = Rotary(frequencies, 1.5)(mx.array(x), offset=mx.array([7, 90]))
    np.testing.assert_allclose(np.array(found), expected, atol=1e-4)


@pytest.mark.parametrize("told", [AS_TRAINED, PLAIN], ids=["unrounded", "plain"])
def test_what_mlx_lm_computes_otherwise_is_set_right_in_every_layer(told: Rope) -> None:
    wrong = model(ROUNDED)
    rope.correct(wrong, told, HEAD)
    assert all(isinstance(layer.self_attn.rope, Rotary) for layer in wrong.layers)


def test_what_mlx_lm_computes_right_is_left_to_it() -> None:
    right = model(AS_TRAINED)
    for layer in right.layers:  # as if it did not round
        layer.self_attn.rope._freqs = mx.array(1 / rope.frequencies(AS_TRAINED, HEAD))
    rope.correct(right, AS_TRAINED, HEAD)
    assert all(isinstance(layer.self_attn.rope, YarnRoPE) for layer in right.layers)


def test_another_concentration_is_not_taken_for_the_same() -> None:
    told = ROUNDED.model_copy(update={"attention_factor": 1.25})
    other = model(ROUNDED)
    rope.correct(other, told, HEAD)
    assert all(isinstance(layer.self_attn.rope, Rotary) for layer in other.layers)


def test_the_bundled_model_runs_with_the_positions_that_it_was_trained_on() -> None:
    bundled: Any = weights.load(None).model
    x = mx.concatenate([mx.ones(HEAD // 2), mx.zeros(HEAD // 2)]).reshape(1, 1, 1, HEAD)
    for layer in bundled.layers:
        left, right = np.split(np.array(layer.self_attn.rope(x, offset=1)).reshape(HEAD), 2)
        np.testing.assert_allclose(np.arctan2(right, left), reference(low=pair(32), high=pair(1)), rtol=1e-5)
