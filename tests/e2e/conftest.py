"""A Hugging Face home of the test's own, and a hub that has a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub import Hub, serving


@pytest.fixture
def hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hugging Face home, empty, of the programs that the test spawns."""
    folder = tmp_path / "huggingface"
    monkeypatch.setenv("HF_HOME", str(folder))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return folder


@pytest.fixture
def hub(checkpoint: Path, hugging_face: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that the programs ask which the test spawns."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with serving(checkpoint) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
