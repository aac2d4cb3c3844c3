"""Sampling from the logits: the ids are mlx-lm's own where they are the likeliest, and drawn from what float32 says."""

from __future__ import annotations

from typing import Any, cast

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step

from gptoss_acp.engine.api import Sampling
from gptoss_acp.engine.batch import Batch
from gptoss_acp.engine.sampling import Sampler, greedy, make_sampler
from gptoss_acp.engine.weights import LoadedModel
from tests.support import random_checkpoint

TOKENS = 12
PROMPTS = [random_checkpoint.tokens(length, length) for length in (9, 140, 300)]
"""Shorter than a ring, a little longer, and much."""


class LogitsIn:
    """A model whose logits come in another type, as those of one whose weights are of it."""

    def __init__(self, model: Any, dtype: mx.Dtype) -> None:
        self._model, self._dtype = model, dtype
        self.make_cache = model.make_cache
        self.layers = model.layers

    def __call__(self, tokens: mx.array, cache: Any = None) -> mx.array:
        logits: mx.array = self._model(tokens, cache=cache).astype(self._dtype)
        return logits


@pytest.fixture(params=[mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
def typed(model: LoadedModel, request: pytest.FixtureRequest) -> Any:
    return LogitsIn(model.model, request.param)


def together(model: Any, prompts: list[list[int]], samplers: list[Sampler]) -> list[list[int]]:
    """Return what is sampled after each of `prompts`, all of which run at once."""
    batch = Batch(model, ())
    uids = [
        batch.insert([list(prompt)], TOKENS, sampler=sampler, processors=[], read=[], cache=None)
        for prompt, sampler in zip(prompts, samplers, strict=True)
    ]
    sampled: dict[int, list[int]] = {uid: [] for uid in uids}
    while any(len(tokens) < TOKENS for tokens in sampled.values()):
        for response in batch.step(128):
            sampled[response.uid].append(response.token)
        batch.read_on(3)
    return list(sampled.values())


def drawn_from_probabilities(model: Any, prompt: list[int], sampling: Sampling) -> list[int]:
    """Return what is drawn after `prompt` from a softmax in float32, one token after the other."""
    assert sampling.seed is not None
    assert sampling.top_p == 1
    key, cache = mx.random.key(sampling.seed), model.make_cache()
    read, tokens = mx.array([prompt]), list[int]()
    while len(tokens) < TOKENS:
        logits = model(read, cache=cache)[:, -1, :].astype(mx.float32)
        key, now = mx.random.split(key)
        logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        (token,) = cast("list[int]", mx.random.categorical(logprobs / sampling.temperature, key=now).tolist())
        tokens.append(token)
        read = mx.array([[token]])
    return tokens


@pytest.mark.parametrize("count", [1, 3])
def test_the_likeliest_are_mlx_lms_own_alone_and_in_a_batch(typed: Any, count: int) -> None:
    own = [[int(token) for token, _ in generate_step(mx.array(prompt), typed, max_tokens=TOKENS)] for prompt in PROMPTS]
    assert together(typed, PROMPTS[-count:], [greedy] * count) == own[-count:]


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_drawn_is_drawn_from_the_softmax_in_float32(typed: Any, model: LoadedModel, count: int) -> None:
    every = [Sampling(temperature=1, top_p=1, seed=seed) for seed in (3, 5, 8)][:count]
    samplers = [make_sampler(sampling, model) for sampling in every]
    expected = [
        drawn_from_probabilities(typed, prompt, sampling) for prompt, sampling in zip(PROMPTS, every, strict=False)
    ]
    assert together(typed, PROMPTS[:count], samplers) == expected


def test_one_that_is_left_alone_goes_on_as_if_it_had_always_been(model: LoadedModel) -> None:
    short, _, long = PROMPTS
    own = [int(token) for token, _ in generate_step(mx.array(short), model.model, max_tokens=TOKENS)]
    batch = Batch(model.model, ())
    uid = batch.insert([list(short)], TOKENS, sampler=greedy, processors=[], read=[], cache=None)
    other = batch.insert([list(long)], 2, sampler=greedy, processors=[], read=[], cache=None)
    sampled: dict[int, list[int]] = {uid: [], other: []}
    while len(sampled[uid]) < TOKENS:
        for response in batch.step(2048):
            sampled[response.uid].append(response.token)
        batch.read_on(4)
    assert sampled[uid] == own
    assert len(sampled[other]) == 2
