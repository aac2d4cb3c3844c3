"""A model divided among ranks: which numbers of them go, and each rank's part.

mlx-lm divides attention by heads, and each expert's inner width; what is quantised goes in whole groups only. It has no
way to give each rank some of gpt-oss's layers (a pipeline). Knows mlx-lm's gpt-oss. Knows nothing about files. Imported
on the engine's thread only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gptoss_acp.engine.api import EngineError

if TYPE_CHECKING:
    from gptoss_acp.engine.ranks.group import Ranks

MOST_RANKS = 64


def shard(model: Any, ranks: Ranks) -> None:
    """Leave of `model`, whose weights need not have been read, the part of one of several ranks.

    Raises:
        EngineError: it can't be divided among so many.
    """
    parts = _parts(model)
    if any(count % ranks.size for count in parts.values()):
        raise EngineError(_refusal(parts, ranks.size))
    model.shard(ranks.group)


def _parts(model: Any) -> dict[str, int]:
    """Return what is divided, by its name, and of how many equal parts it is."""
    attention, experts = model.layers[0].self_attn, model.layers[0].mlp.experts
    return {
        "attention heads": int(attention.num_attention_heads),
        "heads of keys and values": int(attention.num_key_value_heads),
        "groups of numbers in a row of the attention's output": _groups(attention.o_proj),
        "rows in an expert's first matrices": int(experts.gate_proj.weight.shape[-2]),
        "groups of numbers in a row of an expert's last matrix": _groups(experts.down_proj),
    }


def _groups(layer: Any) -> int:
    """Return into how many parts a row of a matrix can be cut: its numbers, or what shares a scale."""
    return int((layer.scales if "scales" in layer else layer.weight).shape[-1])


def _refusal(parts: dict[str, int], size: int) -> str:
    odd = ", ".join(f"{count} {name}" for name, count in parts.items() if count % size)
    common = math.gcd(*parts.values())
    fitting = [str(count) for count in range(2, MOST_RANKS + 1) if common % count == 0]
    instead = f"It can be divided among {' or '.join(fitting)}." if fitting else "It can't be divided at all."
    return f"This model can't be divided among {size} machines: it has {odd}. {instead}"
