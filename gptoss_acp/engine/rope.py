"""Rotary positions as OpenAI's reference computes them (openai/gpt-oss, gpt_oss/torch/model.py, RotaryEmbedding).

mlx-lm rounds the range of frequencies that YaRN stretches in part, and gpt-oss was trained without. Knows the formula
and where a model keeps its rotary module. Knows nothing about checkpoints.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx.nn.layers.base import Module

if TYPE_CHECKING:
    from gptoss_acp.engine.architecture import Rope

log = logging.getLogger(__name__)

TOLERANCE = 1e-5
"""Relative; rounding to whole dimensions moves a frequency by up to 76%."""


class Rotary(Module):
    """Rotates queries and keys: pairs are the two halves of a head."""

    def __init__(self, frequencies: npt.NDArray[np.float32], scale: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._wave_lengths = mx.array(1 / frequencies)  # (head_dim / 2,), each divided by 2 pi
        self._scale = scale

    def __call__(self, x: mx.array, offset: int | mx.array = 0) -> mx.array:
        """Rotate `x` (batch, heads, tokens, head_dim), whose first tokens stand at `offset`, one or one a row."""
        return mx.fast.rope(
            x if self._scale == 1 else x * self._scale,
            x.shape[-1],
            traditional=False,
            base=None,
            scale=1.0,
            offset=offset,
            freqs=self._wave_lengths,
        )

    def is_done_by(self, other: Any) -> bool:
        """Return whether mlx-lm's `other` turns by the same angles."""
        theirs = getattr(other, "_freqs", None)
        if not isinstance(theirs, mx.array) or theirs.shape != self._wave_lengths.shape:
            return False
        turns_alike = bool(mx.allclose(theirs, self._wave_lengths, rtol=TOLERANCE, atol=0))
        return turns_alike and math.isclose(getattr(other, "mscale", 1), self._scale, rel_tol=TOLERANCE)


def correct(model: Any, rope: Rope, head_dim: int) -> None:
    """Let every layer of `model` rotate as `rope` says; one that does so already is left alone."""
    wanted = Rotary(frequencies(rope, head_dim), scale(rope))
    wrong = [layer.self_attn for layer in model.layers if not wanted.is_done_by(layer.self_attn.rope)]
    for attention in wrong:
        attention.rope = wanted
    log.debug("%d of %d layers rotated otherwise than the checkpoint says", len(wrong), len(model.layers))


def frequencies(rope: Rope, head_dim: int) -> npt.NDArray[np.float32]:
    """Return by how many radians one position turns each pair, (head_dim / 2,) float32."""
    powers = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    plain = (1 / np.float32(rope.rope_theta) ** powers).astype(np.float32)
    if rope.rope_type == "default":
        return plain
    low, high = _stretched_in_part(rope, head_dim)
    ramp = (np.arange(head_dim // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low or 0.001)
    kept = 1 - np.clip(ramp, 0, 1)
    blended: npt.NDArray[np.float32] = plain / np.float32(rope.factor) * (1 - kept) + plain * kept
    return blended


def scale(rope: Rope) -> float:
    """Return the factor on queries and keys, YaRN's concentration."""
    if rope.rope_type == "default":
        return 1.0
    return rope.attention_factor or 0.1 * math.log(rope.factor) + 1


def _stretched_in_part(rope: Rope, head_dim: int) -> tuple[float, float]:
    """Return the pairs between which YaRN blends from plain to stretched frequencies; 8.09 to 17.40 in gpt-oss."""

    def pair(turns: float) -> float:
        """Return which pair turns so often within the length that the model was first trained on."""
        length = rope.original_max_position_embeddings / (turns * 2 * math.pi)
        return head_dim * math.log(length) / (2 * math.log(rope.rope_theta))

    low, high = pair(rope.beta_fast), pair(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    return max(low, 0), min(high, head_dim - 1)
