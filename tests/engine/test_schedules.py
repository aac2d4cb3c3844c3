"""Schedules made by chance, as many as a test has time for; scripts/fuzz_engine runs more of them."""

from __future__ import annotations

from pathlib import Path

from tests.support.engine_schedules import ColdModel, EngineSchedules, Said

SEEDS = (3, 4, 5, 6)


def test_whatever_happens_to_an_engine_it_samples_what_a_cold_run_does(every_expert: Path, tmp_path: Path) -> None:
    schedules = EngineSchedules(every_expert, tmp_path)
    assert [line for seed in SEEDS for line in schedules.run(seed)] == []
    assert schedules.happened["tokens"] > 20


def test_a_token_that_a_cold_run_does_not_sample_is_a_difference(every_expert: Path, tmp_path: Path) -> None:
    prompt = tuple(range(40))
    right = ColdModel(every_expert).tokens(prompt, 3)
    schedules = EngineSchedules(every_expert, tmp_path)
    wrong = Said(prompt, [*right[:2], right[2] + 1], least=3)
    assert schedules.difference(Said(prompt, right, least=3)) is None
    assert "sampled token 2" in str(schedules.difference(wrong))
    assert "2 were sampled, not 3" in str(schedules.difference(Said(prompt, right[:2], least=3)))
