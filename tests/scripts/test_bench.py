"""`scripts/bench`, its shortest part: what it measured is in the file, and in the page or said to be missing there."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import REPOSITORY

WITHOUT_MATPLOTLIB = """
import runpy, sys
sys.path.insert(0, "scripts")
import extras
found = extras.find_spec
extras.find_spec = lambda name: None if name == "matplotlib" else found(name)
runpy.run_path("scripts/bench.py", run_name="__main__")
"""


def bench(folder: Path, *program: str) -> subprocess.CompletedProcess[str]:
    """Measure the start of the program."""
    options = ["--quick", "--runs", "1", "--only", "start"]
    files = ["--out", str(folder / "bench.json"), "--html", str(folder / "bench.html")]
    run = subprocess.run(
        [sys.executable, *program, *options, *files], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    (name, *_) = [figure["name"] for figure in json.loads((folder / "bench.json").read_text())["figures"]]
    assert name in run.stdout
    return run


def test_without_matplotlib_there_is_no_page_and_what_to_install_is_said(tmp_path: Path) -> None:
    run = bench(tmp_path, "-c", WITHOUT_MATPLOTLIB)
    assert "pip install --constraint constraints.txt --editable '.[bench]'" in run.stdout
    assert not (tmp_path / "bench.html").exists()


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="the page needs the extra `bench`")
def test_the_page_holds_the_figures_and_needs_nothing_else(tmp_path: Path) -> None:
    run = bench(tmp_path, "scripts/bench.py")
    assert "Matplotlib" not in run.stdout
    page = (tmp_path / "bench.html").read_text()
    for figure in json.loads((tmp_path / "bench.json").read_text())["figures"]:
        assert figure["name"].split("'")[0] in page
    assert "<script" not in page
    assert "<link" not in page
