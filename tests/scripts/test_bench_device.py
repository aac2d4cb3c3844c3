"""`scripts/bench_device`: a whole run on a small checkpoint, what is left when it fails, and what it reckons with."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import make_checkpoint
from scripts.device import bandwidth
from tests.support.places import REPOSITORY

MEASURED = (
    "load",
    "first token, 100-token prompt, cold",
    "first token, its next turn",
    "decode alone",
    "decode of 8 sessions",
    "cancel in decode",
    "cancel in prefill",
    "memory of MLX at the end",
    "memory of MLX at its peak",
    "resident memory",
)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a room of the scripts as they import each other."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    return importlib.import_module


def run(out: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Measure briefly; return how it ended, and what is in its file."""
    command = [sys.executable, "scripts/bench_device.py", "--shape", "tiny-random", "--rounds", "1", "--out", str(out)]
    ended = subprocess.run(
        [*command, "--prompt-tokens", "100", *options], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return ended, json.loads(out.read_text())


@pytest.mark.timeout(300)
def test_a_run_measures_everything_and_leaves_nothing_of_what_it_wrote(tmp_path: Path) -> None:
    ended, record = run(tmp_path / "out.json", "--folder", str(tmp_path / "checkpoint"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    names = [figure["name"] for figure in record["figures"]]
    assert [name for name in MEASURED if not any(found.startswith(name) for found in names)] == []
    assert all(name in ended.stdout for name in names)
    assert all(figure["measured"] > 0 for figure in record["figures"])
    assert [figure["name"] for figure in record["figures"] if "raw mlx-lm" in figure["detail"]] == names[:5]
    assert record["machine"]["mlx"]
    assert record["machine"]["device"]
    assert record["failure"] is None
    assert not (tmp_path / "checkpoint").exists()


def test_a_run_that_fails_says_why_and_leaves_a_given_checkpoint_alone(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for file in checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    shard = min(folder.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1000])
    ended, record = run(tmp_path / "out.json", "--folder", str(folder))
    assert ended.returncode == 1
    assert "died" in record["failure"]
    assert f"FAILED: {record['failure']}" in ended.stdout
    assert record["machine"]["mlx"]
    assert shard.is_file()


def test_a_run_that_takes_too_long_ends_with_what_there_is(tmp_path: Path) -> None:
    ended, record = run(tmp_path / "out.json", "--folder", str(tmp_path / "checkpoint"), "--minutes", "0.05")
    assert (ended.returncode, record["failure"]) == (1, "not finished after 0.05 minutes")
    assert not (tmp_path / "checkpoint").exists()


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear")
    ended, record = run(tmp_path / "out.json", "--folder", str(tmp_path / "mine"))
    assert ended.returncode == 1
    assert "holds something else" in record["failure"]
    assert (tmp_path / "mine" / "letter.txt").read_text() == "Dear"


def test_what_was_measured_before_a_failure_is_shown(room: Any) -> None:
    measurements = room("device.measurements")
    plan = measurements.Plan(1, 1.0, 2000, 10)
    measured = measurements.Measured()
    assert room("device.summary").figures(measured, plan, 10**9, targets=True) == []
    measured.device = {"name": "NVIDIA H100 80GB HBM3", "active_bytes": 13 * 10**9}
    measured.samples["cold"]["ours"] += [3.5, 4.5, 4.0]
    measured.samples["alone"] |= {"ours": [100.0], "raw": [80.0]}
    cold, alone, share = room("device.summary").figures(measured, plan, 3_350_000_000, targets=True)
    assert (cold.measured, cold.met) == (4.0, False)
    assert (alone.met, "ours / raw 1.25" in alone.detail) == (True, True)
    assert share.measured == pytest.approx(10)  # a step of 1 ms at best


def test_mlx_lm_is_measured_after_ours_where_there_is_no_room_for_both(room: Any) -> None:
    have_room = room("device.measurements").have_room_for_two
    sizes = [10**9 * size for size in (24, 32, 80, 0)]  # 0: MLX does not tell
    found = [have_room({"memory_bytes": size, "active_bytes": 13_800_000_000}) for size in sizes]
    assert found == [False, False, True, True]


def test_a_step_reads_the_chosen_experts_and_no_embeddings(checkpoint: Path) -> None:
    shape = make_checkpoint.SHAPES["tiny-random"]
    outer = shape.hidden_size * 2 * (make_checkpoint.VOCABULARY + 1)
    dense = experts = 0
    for name, array in make_checkpoint.layer_weights(shape, 0).items():
        if "experts" in name:
            experts += array.nbytes
        else:
            dense += array.nbytes
    half = shape.num_experts_per_tok / shape.num_local_experts
    expected = outer + shape.num_hidden_layers * (dense + half * experts)
    assert bandwidth.step_bytes(checkpoint) == expected


@pytest.mark.parametrize(
    "name", ["NVIDIA H100 80GB HBM3 MIG 1g.10gb", "Apple M4 Max", "Intel(R) Xeon(R) Processor", ""]
)
def test_a_device_of_unknown_bandwidth_has_no_bound(name: str) -> None:
    assert bandwidth.most_tokens_per_second(name, 10**9) is None


def test_the_reference_goes_on_from_what_it_has_said(room: Any) -> None:
    with room("benchmark.reference").Reference("tiny", stop_tokens=()) as reference:
        first, further = list(range(1000, 1200)), list(range(2000, 2020))
        said, then = reference.generate_turns([first, further], 8)
        assert then.tokens == reference.generate([*first, *said.tokens, *further], 8).tokens


def test_a_child_that_ends_is_a_failure_of_the_run(room: Any) -> None:
    error, child = room("benchmark.figures").BenchError, room("benchmark.child").Child
    with child("it", "json.tool", "--help") as talks, pytest.raises(error, match="it says what is no answer: usage"):
        talks.read()
    with child("it", "no_such_module") as dies, pytest.raises(error, match="it died, with exit code 1"):
        dies.ask({})
