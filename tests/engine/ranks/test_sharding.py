"""A model that does not divide among so many ranks is refused, with the numbers that would go."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest

from gptoss_acp.engine import architecture, checkpoints, weights
from gptoss_acp.engine.api import EngineError
from gptoss_acp.engine.ranks import sharding
from gptoss_acp.engine.ranks.group import Ranks
from gptoss_acp.engine.weights import LoadedModel


class Many(Ranks):
    """So many ranks, of which nothing is asked but who they are."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.group = SimpleNamespace(size=lambda: size, rank=lambda: 0)


def gpt_oss(groups: int) -> Any:
    """Return what is looked at of a gpt-oss whose experts' last matrices have `groups` scales a row."""
    attention = SimpleNamespace(num_attention_heads=64, num_key_value_heads=8, o_proj=_layer(weight=(2880, 4096)))
    experts = SimpleNamespace(
        gate_proj=_layer(weight=(32, 2880, 360)), down_proj=_layer(weight=(32, 2880, 360), scales=(32, 2880, groups))
    )
    return SimpleNamespace(layers=[SimpleNamespace(self_attn=attention, mlp=SimpleNamespace(experts=experts))])


def _layer(**shapes: tuple[int, ...]) -> Any:
    class Layer(dict[str, mx.array]):
        __getattr__ = dict.__getitem__

    return Layer({name: SimpleNamespace(shape=shape) for name, shape in shapes.items()})  # type: ignore[misc]


def test_the_bundled_model_goes_on_two_only(model: LoadedModel) -> None:
    with pytest.raises(EngineError, match=r"among 3 machines: it has 4 attention heads.*divided among 2\."):
        sharding.shard(model.model, Many(3))


def test_in_mxfp4_gpt_oss_goes_on_two_for_its_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match=r"4 machines: it has 90 groups of numbers in .*divided among 2\."):
        sharding.shard(gpt_oss(groups=90), Many(4))


def test_what_has_an_odd_number_of_groups_goes_on_none() -> None:
    with pytest.raises(EngineError, match=r"45 groups.*can't be divided at all"):
        sharding.shard(gpt_oss(groups=45), Many(2))


def test_what_a_rank_will_take_is_told_before_it_is_read(checkpoint: Path) -> None:
    said, arrays = weights._read_folder(checkpoint)
    model = weights._assemble(architecture.parse(said), arrays)
    whole = weights._nbytes(model)
    sharding.shard(model, Many(2))
    told, taken = checkpoints.share_nbytes(checkpoint, 2), weights._nbytes(model)
    assert taken > whole / 2
    assert told == pytest.approx(taken, rel=0.02)
    assert checkpoints.share_nbytes(checkpoint, 1) == checkpoints.nbytes(checkpoint)
