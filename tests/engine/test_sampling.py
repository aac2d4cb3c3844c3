"""From probabilities to an id: greedy, or drawn as the settings say, and the same again with the same seed."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import mlx.core as mx
import pytest

from gptoss_acp.engine.api import Sampling
from gptoss_acp.engine.sampling import Sampler, greedy, make_sampler
from gptoss_acp.engine.weights import LoadedModel

LOGPROBS = mx.log(mx.array([[0.5, 0.3, 0.15, 0.05]]))


def drawn(sampling: Sampling, model: LoadedModel, count: int = 200) -> list[int]:
    sampler = make_sampler(sampling, model)
    return [one(sampler) for _ in range(count)]


def one(sampler: Sampler) -> int:
    (token,) = cast("list[int]", sampler(LOGPROBS).tolist())
    return token


def test_temperature_zero_takes_the_likeliest_in_one_function_for_all(model: LoadedModel) -> None:
    assert make_sampler(Sampling(temperature=0, seed=1), model) is greedy
    assert greedy(mx.concatenate([LOGPROBS, LOGPROBS[:, ::-1]])).tolist() == [0, 3]


@pytest.mark.parametrize(("temperature", "top_p"), [(1e-320, 1), (1e-40, 0.5), (1, 0), (1, 1e-320), (0.0005, 0.0005)])
def test_what_is_next_to_nothing_takes_the_likeliest(model: LoadedModel, temperature: float, top_p: float) -> None:
    assert make_sampler(Sampling(temperature=temperature, top_p=top_p), model) is greedy


def test_a_seed_makes_the_draws_repeatable_and_another_makes_others(model: LoadedModel) -> None:
    seeded = [drawn(Sampling(temperature=1, top_p=1, seed=seed), model) for seed in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]
    assert set(seeded[0]) == {0, 1, 2, 3}


def test_without_a_seed_no_two_generations_draw_the_same(model: LoadedModel) -> None:
    assert drawn(Sampling(temperature=1, top_p=1), model) != drawn(Sampling(temperature=1, top_p=1), model)


def test_the_draws_of_one_do_not_move_anothers(model: LoadedModel) -> None:
    alone = drawn(Sampling(temperature=1, top_p=1, seed=1), model, 20)
    samplers = [make_sampler(Sampling(temperature=1, top_p=1, seed=seed), model) for seed in (1, 2)]
    together = [[one(sampler) for sampler in samplers] for _ in range(20)]
    assert [first for first, _ in together] == alone


def test_top_p_leaves_the_unlikely_out(model: LoadedModel) -> None:
    assert set(drawn(Sampling(temperature=1, top_p=0.75, seed=1), model)) == {0, 1}


@pytest.mark.parametrize(("temperature", "most"), [(0.1, 0.99), (1.0, 0.5), (100.0, 0.25)])
def test_temperature_flattens(model: LoadedModel, temperature: float, most: float) -> None:
    draws = drawn(Sampling(temperature=temperature, top_p=1, seed=1), model, 400)
    assert draws.count(0) / len(draws) == pytest.approx(most, abs=0.1)


def test_what_is_not_set_is_the_models_own(model: LoadedModel) -> None:
    likely = replace(model, temperature=1.0, top_p=0.4)
    assert set(drawn(Sampling(seed=1), likely)) == {0}
    assert make_sampler(Sampling(), replace(model, temperature=0.0)) is greedy
