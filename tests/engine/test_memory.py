"""How much memory models, contexts and wired pages may take, by the machine and by the settings."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import pytest

from gptoss_acp.engine import checkpoints, memory, weights
from gptoss_acp.engine.batch import Batch
from gptoss_acp.engine.sampling import greedy
from scripts import make_checkpoint

GB = 10**9
USABLE = memory.usable


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Mac that lets a program use 40 GB."""
    monkeypatch.setattr(memory, "usable", lambda: 40 * GB)
    monkeypatch.setattr(memory, "on_processor", lambda: False)
    monkeypatch.setattr(memory, "on_metal", lambda: True)


@pytest.mark.parametrize(
    ("model", "setting", "expected"),
    [
        (12 * GB, None, 28 * GB - memory.WORKING - memory.LONGEST_READING),
        (38 * GB, None, (2 * GB - memory.WORKING) * 4 // 5 + 1),
        (12 * GB, 3.5, int(3.5 * GB)),
        (38.4 * GB, None, memory.SMALLEST_BUDGET),
        (60 * GB, None, memory.SMALLEST_BUDGET),
    ],
    ids=["all that is left", "less what reading takes", "the setting", "at least something", "a model too large"],
)
def test_contexts_get_what_the_model_and_its_work_leave_or_what_is_set(
    model: float, setting: float | None, expected: int
) -> None:
    assert memory.budget(int(model), setting) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("model", "setting", "expected"),
    [
        (12 * GB, None, 12 * GB + 2**30),
        (30 * GB, None, 24 * GB),
        (30 * GB, 28.0, 28 * GB),
        (30 * GB, 100.0, 32 * GB),
        (12 * GB, 0.0, 0),
    ],
    ids=["the model", "three quarters", "the setting", "never more than recommended", "none"],
)
def test_wired_memory_stays_below_what_the_system_recommends(model: int, setting: float | None, expected: int) -> None:
    assert memory.wired_limit(model, 32 * GB, setting) == expected


def test_a_second_model_fits_only_where_there_is_room_for_both() -> None:
    weights = 12 * GB
    assert memory.fits(weights, 0)
    assert memory.fits(weights, 40 * GB - memory.needed(weights))
    assert not memory.fits(weights, 40 * GB - memory.needed(weights) + 1)


def test_what_fits_has_room_for_the_smallest_budget_and_what_does_not_has_no_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "usable", lambda: memory.needed(12 * GB))
    assert memory.context_length(12 * GB, 24 * 1024, 131_072) == memory.SMALLEST_BUDGET // (24 * 1024)
    monkeypatch.setattr(memory, "usable", lambda: memory.needed(12 * GB) - 1)
    assert memory.context_length(12 * GB, 24 * 1024, 131_072) == 0


def test_a_context_takes_one_copy_of_its_cache_and_is_no_longer_than_the_models() -> None:
    assert memory.context_length(38 * GB, 24 * 1024, 131_072) == memory.budget(38 * GB, None) // (24 * 1024)
    assert memory.context_length(12 * GB, 24 * 1024, 131_072) == 131_072


def test_on_the_processor_weights_and_contexts_are_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_gpu = memory.needed(12 * GB)
    monkeypatch.setattr(memory, "on_processor", lambda: True)
    assert memory.needed(12 * GB) - on_a_gpu == 3_600_000_000
    assert memory.context_length(28 * GB, 24 * 1024, 131_072) == memory.budget(int(1.3 * 28 * GB), None) // (48 * 1024)


@pytest.mark.parametrize(
    ("total", "usable", "needs", "limit"),
    [
        (16, 2**34 * 2 // 3, 12.1, 14_000),
        (24, 2**34, 17.0, 21_500),
        (64, 3 * 2**34, 51.0, 54_500),
        (16, 14_000 * 2**20, 13.8, None),
        (8, 2**33 * 2 // 3, 12.1, None),
    ],
    ids=["two GB stay", "an eighth stays", "no more than is of use", "as high as it may be", "never enough"],
)
def test_the_limit_of_wired_memory_that_is_named_would_do_and_leaves_macos_its_share(
    total: int, usable: int, needs: float, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "usable", lambda: usable)
    monkeypatch.setattr(memory, "total", lambda: total * 2**30)
    size = int(needs * GB)
    assert memory.enough_wired_mb(size, 131_072 * 24 * 1024) == limit
    said = memory.shortage(size, 131_072 * 24 * 1024)
    assert memory.gb(usable) in said
    assert memory.gb(memory.needed(size)) in said
    assert ("more memory" in said) if limit is None else (f"`sudo sysctl iogpu.wired_limit_mb={limit}`" in said)
    if limit:
        monkeypatch.setattr(memory, "usable", lambda: limit * 2**20)
        assert memory.fits(size, 0)


def test_without_macos_nobody_is_told_to_set_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "on_metal", lambda: False)
    assert "this GPU leaves 40.0 GB. Choose a smaller checkpoint" in memory.shortage(60 * GB)
    monkeypatch.setattr(memory, "on_processor", lambda: True)
    assert "half of this machine's memory is 40.0 GB. Choose a smaller checkpoint" in memory.shortage(60 * GB)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"max_recommended_working_set_size": 14_000 * 2**20, "memory_size": 2**34}, 14_000 * 2**20),
        ({"total_memory": 16_376 * 2**20, "free_memory": 2**30}, 16_376 * 2**20 - memory.CUDA_MARGIN),
    ],
    ids=["what macOS allows, raised", "a GPU's own, less the others' share"],
)
def test_what_a_gpu_lets_a_program_use(info: dict[str, int], expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "device_info", lambda: info)
    assert USABLE() == expected


def test_on_the_processor_half_of_the_machines_memory_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "on_processor", lambda: True)
    assert USABLE() == memory.total() // 2


def test_a_chunk_takes_what_the_rule_says(tmp_path: Path) -> None:
    width, chunk = 256, 1024
    make_checkpoint.write(make_checkpoint.Shape(2, width, width, 8, 4, 1, 1), tmp_path)
    batch = Batch(weights.load(tmp_path).model, ())
    mx.clear_cache()
    before = mx.get_active_memory()
    batch.insert([[5] * chunk, [5]], 1, sampler=greedy, processors=[], read=[], cache=None)
    mx.reset_peak_memory()
    batch.step(chunk)
    read = batch.read_on(2)
    assert read is not None
    assert read.tokens == chunk
    scores = 3 * chunk * chunk * 4
    computed = chunk * width * memory.ACTIVATIONS * 4 + scores
    assert 0.8 * computed < mx.get_peak_memory() - before < 1.1 * computed


def test_what_a_token_takes_is_known_before_a_checkpoint_is_loaded(tmp_path: Path) -> None:
    make_checkpoint.write(make_checkpoint.SHAPES["tiny-random"], tmp_path)
    size = checkpoints.size("it", tmp_path)
    assert size.bytes_per_token * 2 == weights.load(tmp_path).bytes_per_token  # float32 on the processor
    assert size.nbytes == checkpoints.nbytes(tmp_path)


@pytest.mark.parametrize(("shape", "name"), [("20b", "openai/gpt-oss-20b"), ("120b", "openai/gpt-oss-120b")])
def test_the_table_of_known_checkpoints_says_what_their_configs_say(shape: str, name: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(make_checkpoint.config(make_checkpoint.SHAPES[shape])))
    described = checkpoints.refuse_other_kinds(name, config)
    assert checkpoints.WELL_KNOWN[name].bytes_per_token == described.bytes_per_token
    assert checkpoints.WELL_KNOWN[name].context_length == described.max_position_embeddings
    assert memory.WIDTH == described.hidden_size == described.intermediate_size
