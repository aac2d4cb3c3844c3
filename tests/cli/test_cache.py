"""`gptoss-acp cache`: what the contexts on disk take, and clearing them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gptoss_acp.cli import cache
from gptoss_acp.settings import Settings


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two contexts of two models, 20 MB."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = [tmp_path / "gptoss-acp" / "prefixes" / model / "1a.2b.safetensors" for model in ("one", "two")]
    for file in files:
        file.parent.mkdir(parents=True)
        with file.open("wb") as content:
            content.truncate(10_000_000)
    return files


def run(*, clear: bool) -> None:
    cache.run(Settings(), argparse.Namespace(clear=clear))


def test_what_is_kept_is_counted_and_stays(contexts: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    run(clear=False)
    assert capsys.readouterr().out == f"2 contexts, 0.02 GB, in {contexts[0].parent.parent}\n"
    assert all(file.exists() for file in contexts)


def test_only_contexts_are_cleared(contexts: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    other = contexts[0].with_name("notes.txt")
    other.write_text("of somebody else")
    run(clear=True)
    assert capsys.readouterr().out.endswith("\ncleared\n")
    assert not any(file.exists() for file in contexts)
    assert other.exists()


def test_without_any_there_is_nothing_to_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run(clear=True)
    assert capsys.readouterr().out.startswith("0 contexts, 0.00 GB, in ")
