"""What `scripts/test` says while it works: plain lines, and at the end what pytest says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import REPOSITORY

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(5))
def test_one(number): assert number != 2
"""

RUN = """
import sys, pytest
from scripts import progress
progress.EVERY_SECONDS = 0
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_run_counts_its_tests_names_what_failed_and_ends_with_the_summary(processes: str, tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    options = ["--quiet", "-p", "scripts.progress", "-p", "no:cacheprovider", "--numprocesses", processes]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of a plugin that was imported before
    run = subprocess.run(
        [sys.executable, "-c", RUN, *options, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    lines = run.stdout.splitlines()
    assert any(line.startswith("  5 of 5, 1 failed, ") for line in lines)
    assert any(line.startswith("  failed: ") and line.endswith("test_some.py::test_one[2]") for line in lines)
    assert lines[-1].startswith("1 failed, 4 passed in ")
    assert "....F" not in run.stdout
    assert "..F" not in run.stdout


def test_a_step_says_its_time_and_the_first_that_fails_is_the_last() -> None:
    script = ". scripts/_step; step Lint true; step Types ls /nowhere; step Tests true"
    run = subprocess.run(["bash", "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stdout.splitlines() == ["Lint ...", "Lint: 0 s", "Types ..."]
    assert "nowhere" in run.stderr
    assert run.stderr.splitlines()[-1] == "Types: failed after 0 s"
