"""What will not load is told before it is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from gptoss_acp.engine import checkpoints, weights

SHARD = "model-{:05d}-of-00005.safetensors"


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint whose files can be removed and replaced, not changed."""
    for file in checkpoint.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def change_config(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps({**config, **fields}))


def change_tensors(folder: Path, number: int, change: Callable[[dict[str, mx.array]], object]) -> None:
    file = folder / SHARD.format(number)
    arrays: Any = mx.load(str(file))
    change(arrays)
    mx.eval(arrays)
    file.unlink()
    mx.save_safetensors(str(file), arrays)


def shorten(name: str) -> Callable[[dict[str, mx.array]], object]:
    return lambda arrays: arrays.update({name: arrays[name][:-1]})


def remove(name: str) -> Callable[[dict[str, mx.array]], object]:
    return lambda arrays: arrays.pop(name)


EXPERTS = "model.layers.1.mlp.experts"


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (
            lambda folder: change_tensors(folder, 1, shorten("lm_head.weight")),
            "lm_head.weight is 201087 x 64, and by config.json it is 201088 x 64",
        ),
        (
            lambda folder: change_config(folder, num_hidden_layers=6, layer_types=None),
            "the tensor model.layers.4.input_layernorm.weight is missing",
        ),
        (
            lambda folder: change_config(folder, num_hidden_layers=2, layer_types=None),
            "by config.json there is no tensor model.layers.2.",
        ),
        (lambda folder: change_config(folder, sliding_window=64, num_key_value_heads=1), "k_proj.weight is 128 x 64"),
        (lambda folder: change_config(folder, num_local_experts=8), "router.weight is 4 x 64, and by config.json it"),
        (lambda folder: change_config(folder, intermediate_size=32), "gate_up_proj_bias is 4 x 128"),
        (
            lambda folder: change_tensors(folder, 3, remove(f"{EXPERTS}.down_proj_scales")),
            f"{EXPERTS}.down_proj_scales is missing",
        ),
        (
            lambda folder: change_tensors(folder, 3, lambda arrays: arrays.update(extra=mx.zeros(3))),
            "by config.json there is no tensor extra",
        ),
    ],
    ids=[
        "vocabulary",
        "more layers",
        "fewer layers",
        "heads",
        "experts",
        "width of experts",
        "a tensor missing",
        "one too many",
    ],
)
def test_tensors_that_are_not_as_the_config_says_are_named(
    folder: Path, break_it: Callable[[Path], None], told: str
) -> None:
    assert checkpoints.damage("model", folder) is None
    break_it(folder)
    problem = checkpoints.damage("model", folder)
    assert problem is not None
    assert re.search(re.escape(told), problem)


@pytest.mark.parametrize("gone", [1, 3, 5])
def test_a_shard_that_is_missing_without_an_index_is_named(folder: Path, gone: int) -> None:
    (folder / checkpoints.INDEX).unlink()
    assert checkpoints.damage("model", folder) is None
    (folder / SHARD.format(gone)).unlink()
    assert checkpoints.damage("model", folder) == f"{SHARD.format(gone)} is missing"


def test_shards_may_be_counted_from_nought(folder: Path) -> None:
    (folder / checkpoints.INDEX).unlink()
    for number in range(1, 6):
        (folder / SHARD.format(number)).rename(folder / f"model-{number - 1:05d}-of-00004.safetensors")
    assert checkpoints.damage("model", folder) is None
    (folder / "model-00000-of-00004.safetensors").unlink()
    assert checkpoints.damage("model", folder) == "the tensor model.norm.weight is missing"


@pytest.mark.parametrize("whole", [False, True], ids=["broken", "with other weights"])
def test_a_stray_file_beside_an_index_is_not_read(folder: Path, *, whole: bool) -> None:
    stray = folder / "model-stray.safetensors"
    if whole:
        mx.save_safetensors(str(stray), {"model.norm.weight": mx.zeros(64)})
    else:
        stray.write_bytes(b"broken")
    assert checkpoints.damage("model", folder) is None
    model: Any = weights.load(folder).model
    assert mx.all(model.model.norm.weight == 1)
    assert checkpoints.nbytes(folder) == sum(file.stat().st_size for file in folder.glob("model-0*"))


def test_without_an_index_a_tensor_in_two_files_is_not_chosen_by_chance(folder: Path) -> None:
    (folder / checkpoints.INDEX).unlink()
    mx.save_safetensors(str(folder / "model-stray.safetensors"), {"model.norm.weight": mx.zeros(64)})
    assert checkpoints.damage("model", folder) == "the tensor model.norm.weight is in more than one of its files"
