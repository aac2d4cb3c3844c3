"""A context that memory holds once: the running cache and its snapshot are the same arrays, which pass from one to the
other, and come back exact.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models import gpt_oss

from gptoss_acp.engine import caches, weights
from gptoss_acp.engine.api import Sampling
from gptoss_acp.engine.weights import LoadedModel
from tests.support import random_checkpoint
from tests.support.stepping import Stage

LAYERS, HEADS, WINDOW = 24, 2, 128
BYTES_PER_TOKEN = LAYERS // 2 * 2 * HEADS * 64 * 4
LENGTH = 6000
VOCABULARY = 512
MOST_COPIES = 1.2
"""A layer of twelve is there twice for a moment, and what computing takes."""

GREEDY = Sampling(temperature=0, max_tokens=8)


@pytest.fixture(scope="module")
def exact(every_expert: Path) -> LoadedModel:
    return weights.load(every_expert)


@pytest.fixture(scope="module")
def deep() -> LoadedModel:
    """A model of as many layers as gpt-oss-20b, and so little else that a context is most of what it takes."""
    mx.random.seed(4)
    sizes = {"num_attention_heads": HEADS, "num_key_value_heads": HEADS, "hidden_size": 32, "intermediate_size": 32}
    experts = {"num_local_experts": 2, "num_experts_per_tok": 2}
    model: Any = gpt_oss.Model(gpt_oss.ModelArgs(num_hidden_layers=LAYERS, vocab_size=VOCABULARY, **sizes, **experts))
    mx.eval(model.parameters())
    return LoadedModel(model, 0, BYTES_PER_TOKEN, "deep", 131_072, 0.0, 1.0)


@pytest.mark.parametrize("branch_tokens", [(), tuple(range(201_088))], ids=["answer", "call"])
async def test_a_prompt_of_more_than_half_of_the_memory_is_answered_exactly_and_not_read_twice(
    exact: LoadedModel, branch_tokens: tuple[int, ...]
) -> None:
    stage = Stage(exact, 1_200_000, branch_tokens=branch_tokens)
    prompt = random_checkpoint.tokens(420, 3)
    assert len(prompt) > 0.8 * stage.scheduler.context_length
    said = await stage.generated(prompt, GREEDY)
    assert said == await Stage(exact).generated(prompt, GREEDY)
    read = [*prompt, *said] if branch_tokens else prompt[:-1]
    again = stage.submit([*read, 5], GREEDY)
    assert again.figures.cached_tokens == len(read)
    assert await stage.tokens(again) == [await Stage(exact).generated([*read, 5], GREEDY)]


async def test_a_prompt_that_is_cancelled_while_memory_holds_it_once_is_not_read_again(exact: LoadedModel) -> None:
    stage = Stage(exact, 1_200_000)
    prompt = random_checkpoint.tokens(420, 3)
    cancelled = stage.submit(prompt, GREEDY)
    said = await stage.some(cancelled, 3)
    await cancelled.aclose()
    again = stage.submit(prompt, GREEDY)
    assert again.figures.cached_tokens == len(prompt) - 1
    assert (await stage.tokens(again))[0][:3] == said


@pytest.mark.parametrize("ends", [(LENGTH,), (1000, 4000, LENGTH)], ids=["one snapshot", "three in a row"])
async def test_a_context_that_fills_the_memory_is_never_there_twice(deep: LoadedModel, ends: tuple[int, ...]) -> None:
    tokens = [token % VOCABULARY for token in random_checkpoint.tokens(LENGTH, 1)]
    copy = (LENGTH + WINDOW) * BYTES_PER_TOKEN
    before = mx.get_active_memory()
    stage = Stage(deep, int(1.05 * copy), branch_tokens=tuple(range(VOCABULARY)))
    for end in ends:
        assert stage.scheduler._prefixes.add(tokens[:end], drawn_cache(stage, end))
    mx.reset_peak_memory()
    generation = stage.submit([*tokens, 3, 4, 5], GREEDY)
    assert generation.figures.cached_tokens == LENGTH
    while not generation.ended:
        stage.scheduler.step()
    assert stage.scheduler._prefixes.nbytes > copy
    assert (mx.get_peak_memory() - before) / copy < MOST_COPIES


def drawn_cache(stage: Stage, length: int) -> caches.Cache:
    """Return a cache of `length` tokens, made by chance."""
    return [
        caches.sliding_layer(*drawn(WINDOW), WINDOW, length)
        if caches.is_sliding(layer)
        else caches.full_layer(*drawn(length))
        for layer in stage.scheduler._batch.new_cache()
    ]


def drawn(tokens: int) -> caches.Pair:
    keys, values = (mx.random.normal((1, HEADS, tokens, 64)) for _ in range(2))
    return keys, values
