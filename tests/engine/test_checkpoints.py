"""Checkpoints of the true format: found by name, loaded, and refused with a reason."""

from __future__ import annotations

import json
import os
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from gptoss_acp.engine import checkpoints, weights
from gptoss_acp.engine.api import EngineError, LoadProgress, ModelMissingError, Sampling
from gptoss_acp.engine.mlx_engine import MlxEngine
from scripts import make_checkpoint
from tests.support.engines import Engines

DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    make_checkpoint.write(make_checkpoint.SHAPES["tiny-random"], folder)
    return folder


async def generated(engine: MlxEngine, count: int) -> list[int]:
    await engine.load()
    generation = engine.generate(list(range(1000, 1200)), Sampling(temperature=0, max_tokens=count))
    return [token async for token in generation]


async def test_a_checkpoint_in_openais_format_runs(folder: Path, new_engine: Engines) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "mxfp4"
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert {path.name for path in folder.glob("*.safetensors")} == set(index["weight_map"].values())
    assert "model.layers.3.mlp.experts.gate_up_proj_blocks" in index["weight_map"]
    engines = [new_engine(str(folder), stop_tokens=()) for _ in range(2)]
    first = await generated(engines[0], 5)
    assert len(first) == 5
    assert await generated(engines[1], 5) == first


async def test_a_checkpoint_with_a_missing_shard_is_refused_and_loads_once_it_is_there(
    folder: Path, new_engine: Engines
) -> None:
    shard = folder / "model-00002-of-00005.safetensors"
    away = shard.rename(folder / "away")
    engine = new_engine(str(folder))
    with pytest.raises(ModelMissingError, match=r"model-00002-of-00005\.safetensors is missing"):
        await engine.load()
    away.rename(shard)
    await engine.load()
    assert engine.context_length == 131_072


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("gpt-oss-20b", "openai/gpt-oss-20b"),
        ("openai/gpt-oss-20", None),
        ("gpt-oss-12b", "openai/gpt-oss-120b"),
        ("tinyy", "tiny"),
    ],
)
def test_of_a_typo_the_name_that_can_be_given_is_offered(typo: str, meant: str | None) -> None:
    with pytest.raises(ModelMissingError, match=rf" Is {meant} meant\?" if meant else "not on this machine yet"):
        checkpoints.find(typo)


def test_whatever_is_damaged_is_named(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("model-00003-of-00005.safetensors", checkpoints.INDEX, checkpoints.CONFIG):
        file = copy / name
        content = file.read_bytes()
        for damaged in (content[:-1], content[:9], b"", b"\0" * 100, DEEP.encode()):
            file.write_bytes(damaged)
            with pytest.raises(ModelMissingError, match=f"{name}.* is damaged"):
                checkpoints.find(str(copy))
        file.write_bytes(content)
    assert checkpoints.find(str(copy)) == copy


@pytest.mark.parametrize("name", [checkpoints.CONFIG, checkpoints.INDEX, "model-00003-of-00005.safetensors"])
def test_what_is_no_file_is_not_waited_for(folder: Path, tmp_path: Path, name: str) -> None:
    linked(folder, tmp_path, without=name)
    os.mkfifo(tmp_path / name)
    with pytest.raises(ModelMissingError, match=f"{name}.* is (damaged|missing)"):
        checkpoints.find(str(tmp_path))


@pytest.mark.parametrize("file", ["x" * 300, "\0", ""], ids=["too long", "impossible", "none"])
def test_an_index_that_names_no_possible_file_is_no_whole_model(folder: Path, tmp_path: Path, file: str) -> None:
    linked(folder, tmp_path, without=checkpoints.INDEX)
    (tmp_path / checkpoints.INDEX).write_text(json.dumps({"weight_map": {"lm_head.weight": file}}))
    with pytest.raises(ModelMissingError, match=r"holds no whole model: .{1,120} is missing"):
        checkpoints.find(str(tmp_path))


def linked(folder: Path, target: Path, without: str) -> None:
    """Link all files of `folder` but one into `target`."""
    for file in folder.iterdir():
        if file.name != without:
            (target / file.name).symlink_to(file)


def test_loading_tells_how_many_bytes_it_has_read(folder: Path) -> None:
    told: list[LoadProgress] = []
    loaded = weights.load(folder, told.append)
    assert told[0] == LoadProgress(0, loaded.nbytes)
    assert told[-1] == LoadProgress(loaded.nbytes, loaded.nbytes)
    assert len(told) > 50
    assert all(before.done < after.done for before, after in pairwise(told))


async def test_a_model_of_another_architecture_is_refused_by_name(tmp_path: Path, new_engine: Engines) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(EngineError, match="it is a llama model"):
        await new_engine(str(tmp_path)).load()


# Where a model is


@pytest.mark.parametrize(
    "name",
    [
        *("no-such-model", "/no/such/folder", "a/b/c", "no blanks/here", "openai/gpt-oss-20b"),
        *("x" * 300, f"/{'x' * 300}", f"./{'x' * 5000}", "/\0", "~\0"),
    ],
    ids=repr,
)
async def test_a_model_that_is_not_here_is_named(name: str, new_engine: Engines) -> None:
    with pytest.raises(ModelMissingError, match=re.escape(name)):
        await new_engine(name).check_available()


def test_a_folder_without_a_model_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"config\.json"):
        checkpoints.find(str(tmp_path))


def test_the_bundled_model_is_always_here() -> None:
    assert checkpoints.find("tiny") is None


@pytest.mark.parametrize("name", ["openai/gpt-oss-20b", "gpt-oss-20b"])
def test_a_project_cannot_bring_its_own_weights_under_anothers_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).symlink_to(folder)
    with pytest.raises(ModelMissingError, match=rf"For the folder of that name say \./{name}\."):
        checkpoints.find(name)
    assert checkpoints.find(f"./{name}") == Path(name)


def test_a_folder_is_named_by_its_path(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "model").symlink_to(folder)
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(folder), "../model", "~/model"):
        assert checkpoints.find(name) is not None
    monkeypatch.chdir(folder)
    assert checkpoints.find(".") == Path()


def test_a_home_that_nobody_has_holds_no_model() -> None:
    with pytest.raises(ModelMissingError, match="There is no folder ~nobody-here/model"):
        checkpoints.find("~nobody-here/model")


@pytest.mark.parametrize("config", [DEEP, '{"model_type": "gpt_oss", "num_hidden_layers": 10000000000000}'])
def test_a_strangers_checkpoint_in_the_cache_is_left_out_and_stops_nothing(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--evil--m").mkdir()
    (tmp_path / "config.json").write_text(config, "utf-8")
    monkeypatch.setattr(checkpoints, "_cached", lambda _: tmp_path)
    assert checkpoints.on_this_machine() == []
