"""Checkpoints of the true format: found by name, loaded, and refused with a reason."""

from __future__ import annotations

import asyncio
import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from gptoss_acp.engine import checkpoints, weights
from gptoss_acp.engine.api import EngineError, EngineOptions, LoadProgress, ModelMissingError, Sampling
from gptoss_acp.engine.mlx_engine import MlxEngine
from scripts import make_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    make_checkpoint.write(make_checkpoint.SHAPES["tiny-random"], folder)
    return folder


async def generated(folder: Path, count: int) -> list[int]:
    engine = MlxEngine(str(folder), EngineOptions((), disk_gb=0))
    try:
        await engine.load()
        generation = engine.generate(list(range(1000, 1200)), Sampling(temperature=0, max_tokens=count))
        return [token async for token in generation]
    finally:
        engine.close()


def test_a_checkpoint_in_openais_format_runs(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "mxfp4"
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert {path.name for path in folder.glob("*.safetensors")} == set(index["weight_map"].values())
    assert "model.layers.3.mlp.experts.gate_up_proj_blocks" in index["weight_map"]
    first = asyncio.run(generated(folder, 5))
    assert len(first) == 5
    assert asyncio.run(generated(folder, 5)) == first


def test_a_checkpoint_with_a_missing_shard_is_refused_and_loads_once_it_is_there(folder: Path) -> None:
    shard = folder / "model-00002-of-00005.safetensors"
    away = shard.rename(folder / "away")

    async def load_twice() -> None:
        engine = MlxEngine(str(folder), EngineOptions((), disk_gb=0))
        try:
            with pytest.raises(ModelMissingError, match=r"model-00002-of-00005\.safetensors is missing"):
                await engine.load()
            away.rename(shard)
            await engine.load()
            assert engine.context_length == 131_072
        finally:
            engine.close()

    asyncio.run(load_twice())


def test_whatever_is_damaged_is_named(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("model-00003-of-00005.safetensors", checkpoints.INDEX, checkpoints.CONFIG):
        file = copy / name
        content = file.read_bytes()
        for damaged in (content[:-1], content[:9], b"", b"\0" * 100):
            file.write_bytes(damaged)
            with pytest.raises(ModelMissingError, match=f"{name}.* is damaged"):
                checkpoints.find(str(copy))
        file.write_bytes(content)
    assert checkpoints.find(str(copy)) == copy


def test_loading_tells_how_many_bytes_it_has_read(folder: Path) -> None:
    told: list[LoadProgress] = []
    loaded = weights.load(folder, told.append)
    assert told[0] == LoadProgress(0, loaded.nbytes)
    assert told[-1] == LoadProgress(loaded.nbytes, loaded.nbytes)
    assert len(told) > 50
    assert all(before.done < after.done for before, after in pairwise(told))


def test_a_model_of_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(EngineError, match="it is a llama model"):
        asyncio.run(generated(tmp_path, 1))
