"""How much memory models, contexts and wired pages may take, by the machine and by the settings."""

from __future__ import annotations

import pytest

from gptoss_acp.engine import memory

GB = 10**9


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lets a program use 40 GB."""
    monkeypatch.setattr(memory, "usable", lambda: 40 * GB)


@pytest.mark.parametrize(
    ("model", "setting", "expected"),
    [
        (12 * GB, None, 20 * GB),
        (12 * GB, 3.5, int(3.5 * GB)),
        (31.9 * GB, None, memory.SMALLEST_BUDGET),
        (60 * GB, None, memory.SMALLEST_BUDGET),
    ],
    ids=["what is left", "the setting", "at least something", "a model too large"],
)
def test_contexts_get_what_the_model_leaves_or_what_is_set(model: float, setting: float | None, expected: int) -> None:
    assert memory.budget(int(model), setting) == expected


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
