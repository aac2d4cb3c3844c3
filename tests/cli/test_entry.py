"""How an editor starts this agent, in each way in which it can have been installed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gptoss_acp import mlx_extras
from gptoss_acp.cli import entry


@pytest.mark.parametrize(
    ("python", "brings", "extra"),
    [
        ("/home/u/.cache/uv/archive-v0/Zx8/bin/python", "mlx-cpu", "cpu"),
        ("/home/u/.cache/uv/environments-v2/gptoss-acp-1a/bin/python3", "mlx-cuda-13", "cuda13"),
    ],
)
def test_uvx_starts_what_it_has_started(python: str, brings: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", python)
    monkeypatch.setattr(entry, "distributions", lambda: [SimpleNamespace(name="mlx"), SimpleNamespace(name=brings)])
    of_mlx = [] if sys.platform == "darwin" else ["--from", f"gptoss-acp[{extra}]"]
    assert entry.server() == {"command": "uvx", "args": [*of_mlx, "gptoss-acp"]}
    assert entry.server("tiny") == {"command": "uvx", "args": [*of_mlx, "gptoss-acp", "--model", "tiny"]}
    hosts = entry.server("tiny", Path("hosts.json"))["args"][-2:]
    assert hosts == ["--hosts", str(Path.cwd() / "hosts.json")]


def test_on_a_mac_no_extra_is_named() -> None:
    assert (
        mlx_extras.how_to_install("darwin") == "Install what fits this machine: pip install gptoss-acp (Apple silicon)."
    )


def test_without_a_program_beside_it_this_python_starts_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    started = {"command": str(tmp_path / "python"), "args": ["-P", "-m", "gptoss_acp"]}
    assert entry.server() == started


def test_a_program_beside_this_python_is_started_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "gptoss-acp").touch()
    assert entry.server() == {"command": str(tmp_path / "gptoss-acp"), "args": []}
