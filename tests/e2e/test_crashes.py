"""A small helping of `scripts/crash_test`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.crashes import Crashes


@pytest.mark.timeout(300)  # four lives, each replayed
def test_nothing_acknowledged_is_missing_after_kills(tmp_path: Path) -> None:
    crashes = Crashes(tmp_path, seed=5)
    for _ in range(3):
        crashes.round()
    crashes.last_round()
