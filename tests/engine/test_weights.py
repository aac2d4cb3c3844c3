"""What loading costs, and what a loaded model says about itself."""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path

import mlx.core as mx
import pytest

from gptoss_acp.engine import weights


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint to which files can be added."""
    for file in checkpoint.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def test_loading_never_holds_a_second_copy(checkpoint: Path) -> None:
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    loaded = weights.load(checkpoint)
    assert loaded.nbytes > 50 * 10**6
    assert mx.get_peak_memory() - before < 1.1 * loaded.nbytes


@pytest.mark.parametrize("changed", ["mlx", "mlx-lm", "the loader"])
def test_contexts_that_were_computed_otherwise_are_not_used_again(
    checkpoint: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, version = weights.load(checkpoint).digest, metadata.version
    assert weights.load(checkpoint).digest == before
    if changed == "the loader":
        monkeypatch.setattr(weights, "REVISION", weights.REVISION + 1)
    else:
        monkeypatch.setattr(metadata, "version", lambda name: "0" if name == changed else version(name))
    assert weights.load(checkpoint).digest != before


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('{"temperature": 0.6, "top_p": 0.95}', (0.6, 0.95)),
        ('{"temperature": null, "eos_token_id": [200002]}', (1.0, 1.0)),
        ("not JSON", (1.0, 1.0)),
        ("1", (1.0, 1.0)),
        (None, (1.0, 1.0)),
        ('{"temperature": 0, "top_p": NaN}', (0.0, 1.0)),
        ('{"temperature": -1, "top_p": 1.5}', (1.0, 1.0)),
        ('{"temperature": 1e400, "top_p": 0.5}', (1.0, 0.5)),
        ('{"temperature": true, "top_p": "much"}', (1.0, 1.0)),
        ('{"temperature": [[]], "top_p": 1' + "0" * 4000 + "}", (1.0, 1.0)),
        ("[" * 100_000, (1.0, 1.0)),
    ],
    ids=[
        *("both", "neither", "damaged", "no object", "no file", "no number", "out of bounds", "infinite"),
        *("other kinds", "nested and huge", "deep"),
    ],
)
def test_how_to_sample_is_what_the_checkpoint_says_or_what_openai_recommends(
    folder: Path, said: str | None, expected: tuple[float, float]
) -> None:
    if said is not None:
        (folder / "generation_config.json").write_text(said)
    loaded = weights.load(folder)
    assert (loaded.temperature, loaded.top_p) == expected


def test_what_is_wrong_with_how_to_sample_is_in_the_log_and_stops_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "generation_config.json"
    file.write_text('{"temperature": -1, "top_p": null}')
    weights.load(folder)
    assert [record.message for record in caplog.records] == [
        "the checkpoint's temperature is no number between 0 and 10, so 1 is taken"
    ]
    file.unlink()
    os.mkfifo(file)
    assert weights.load(folder).temperature == 1.0
    assert "generation_config.json can't be read, so nothing is taken from it" in caplog.text


def test_what_lies_beside_the_files_of_a_checkpoint_is_not_looked_at(folder: Path, checkpoint: Path) -> None:
    (folder / "consolidated.safetensors").symlink_to(folder / "nowhere")
    assert weights.load(folder).digest == weights.load(checkpoint).digest


def test_a_context_is_as_long_as_the_checkpoint_says(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    assert weights.load(folder).context_length == 4096
