"""A chunk that is computed layer by layer: others decode meanwhile, what leaves is gone, and no token is another."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step

from gptoss_acp.engine.batch import Batch
from gptoss_acp.engine.sampling import greedy
from gptoss_acp.engine.weights import LoadedModel
from tests.support import random_checkpoint

TOKENS = 6
SHORT, LONG = random_checkpoint.tokens(40, 1), random_checkpoint.tokens(700, 2)


@pytest.fixture
def running(model: LoadedModel) -> Batch:
    return Batch(model.model, ())


@pytest.fixture(scope="module")
def alone(model: LoadedModel) -> dict[int, list[int]]:
    """What mlx-lm samples after each prompt, by its length."""
    return {
        len(prompt): [int(token) for token, _ in generate_step(mx.array(prompt), model.model, max_tokens=count)]
        for prompt, count in ((SHORT, 5 * TOKENS), (LONG, TOKENS))
    }


def insert(running: Batch, prompt: list[int], limit: int) -> int:
    return running.insert([list(prompt)], limit, sampler=greedy, processors=[], read=[], cache=None)


def run(running: Batch, uid: int, limit: int) -> list[int]:
    """Step, one layer at a time, until `limit` tokens of a sequence have been sampled."""
    tokens: list[int] = []
    while len(tokens) < limit:
        tokens += [response.token for response in running.step(256) if response.uid == uid]
        running.read_on(1)
    return tokens


def test_a_prompt_read_layer_by_layer_gives_the_tokens_of_one_read_at_once(
    running: Batch, alone: dict[int, list[int]]
) -> None:
    assert run(running, insert(running, LONG, TOKENS), TOKENS) == alone[len(LONG)]


def test_others_decode_between_two_layers(running: Batch, alone: dict[int, list[int]]) -> None:
    short = insert(running, SHORT, 5 * TOKENS)
    tokens = run(running, short, 2)
    long = insert(running, LONG, TOKENS)
    begun = len(tokens)
    while running.read_on(1) is None:
        tokens += [response.token for response in running.step(256) if response.uid == short]
    assert len(tokens) - begun == 4  # one to begin the chunk, and one between each two of its four layers
    assert run(running, long, TOKENS) == alone[len(LONG)]


def test_what_leaves_in_the_middle_of_a_chunk_leaves_the_others_as_they_were(
    running: Batch, alone: dict[int, list[int]]
) -> None:
    leaving, long = insert(running, SHORT, TOKENS), insert(running, LONG, TOKENS)
    running.step(256)  # which reads the first to its end, but for the token that it goes on from
    assert running.read_on(1) is None
    running.remove(leaving)
    chunk = running.read_on(3)
    assert chunk is not None
    assert chunk.segment_ends == []
    assert run(running, long, TOKENS) == alone[len(LONG)]


def test_a_chunk_that_nobody_is_left_of_is_not_computed(running: Batch, alone: dict[int, list[int]]) -> None:
    leaving = insert(running, LONG, TOKENS)
    running.step(256)
    assert running.read_on(1) is None
    running.remove(leaving)
    assert running.read_on(1) is None
    assert running.nbytes == 0
    assert run(running, insert(running, SHORT, TOKENS), TOKENS) == alone[len(SHORT)][:TOKENS]
