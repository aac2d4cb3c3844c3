"""mlx-lm's batch, and what it does not show: a sequence taken out goes on where it was, and limits stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import ANY

import mlx.core as mx
import pytest
from mlx_lm.generate import BatchGenerator, generate_step

from gptoss_acp.engine import caches, weights
from gptoss_acp.engine.batch import Batch, Chunk
from gptoss_acp.engine.caches import Cache
from gptoss_acp.engine.sampling import greedy
from gptoss_acp.engine.weights import LoadedModel
from tests.support import random_checkpoint

PROMPT = list(range(1000, 1300))
TOKENS = 12


@pytest.fixture
def running(model: LoadedModel) -> Batch:
    return Batch(model.model, ())


@pytest.fixture(scope="module")
def alone(model: LoadedModel) -> list[int]:
    """What mlx-lm samples after `PROMPT`."""
    return [int(token) for token, _ in generate_step(mx.array(PROMPT), model.model, max_tokens=TOKENS)]


def insert(
    running: Batch, segments: list[list[int]], limit: int, read: list[int] | None = None, cache: Cache | None = None
) -> int:
    return running.insert(segments, limit, sampler=greedy, processors=[], read=read or [], cache=cache)


def step(running: Batch, chunk: int = 2048, layers: int = 100) -> tuple[list[Any], Chunk | None]:
    """Decode a token of each sequence, and read of the others' prompts; return what came of it."""
    return running.step(chunk), running.read_on(layers)


def sampled(running: Batch, uid: int) -> list[int]:
    """Step until a sequence has ended, and return what it has sampled."""
    tokens: list[int] = []
    ended = False
    while not ended:
        of_it = [one for one in step(running)[0] if one.uid == uid]
        tokens += [one.token for one in of_it]
        ended = any(one.finish_reason for one in of_it)
    return tokens


def test_a_sequence_samples_what_mlx_lm_does_alone(running: Batch, alone: list[int]) -> None:
    insert(running, [[7] * 500], 5)
    assert sampled(running, insert(running, [PROMPT], TOKENS)) == alone


def test_a_prompt_is_read_in_chunks_of_the_size_of_the_moment(running: Batch, alone: list[int]) -> None:
    uid = insert(running, [PROMPT], TOKENS)
    assert [step(running, chunk)[1] for chunk in (100, 150)] == [Chunk(100, [], ANY, ANY), Chunk(150, [], ANY, ANY)]
    assert sampled(running, uid) == alone


def test_a_snapshot_at_a_segments_end_is_of_exactly_what_has_been_read(running: Batch, alone: list[int]) -> None:
    uid = insert(running, [PROMPT[:200], PROMPT[200:]], TOKENS)
    chunks = [step(running, 128)[1] for _ in range(2)]
    assert [chunk and chunk.segment_ends for chunk in chunks] == [[], [uid]]
    tokens, cache = running.snapshot(uid)
    assert tokens == PROMPT[:200]
    running.remove(uid)
    assert sampled(running, insert(running, [PROMPT[200:]], TOKENS, PROMPT[:200], cache)) == alone


@pytest.mark.parametrize("length", [7, 100])
def test_a_short_prompt_read_beside_a_long_one_loses_no_token_after_a_segment_of_one(
    every_expert: Path, length: int
) -> None:
    model = weights.load(every_expert)
    short, long = random_checkpoint.tokens(length, 1), random_checkpoint.tokens(131, 2)
    alone = [int(token) for token, _ in generate_step(mx.array(short), model.model, max_tokens=TOKENS)]
    running = Batch(model.model, ())
    uid = insert(running, [short[:1], short[1:2], short[2:]], TOKENS)
    insert(running, [long[:-1], long[-1:]], 1)
    assert sampled(running, uid) == alone


@pytest.mark.parametrize("after", [1, 5])
def test_a_sequence_that_was_halted_goes_on_exactly_where_it_was(running: Batch, alone: list[int], after: int) -> None:
    uid = insert(running, [PROMPT], TOKENS)
    tokens: list[int] = []
    while len(tokens) < after:
        tokens += [one.token for one in step(running)[0]]
    halted = running.halt(uid)
    assert halted.tokens == [*PROMPT, *alone[:after]]
    assert halted.last_token == alone[after]
    assert running.nbytes == 0
    uid = insert(running, [[halted.last_token]], TOKENS - after - 1, halted.tokens, halted.cache)
    assert sampled(running, uid) == alone[after + 1 :]


def test_what_is_removed_takes_no_memory_wherever_it_was(running: Batch) -> None:
    reading, decoding = (insert(running, [prompt], TOKENS) for prompt in ([5] * 900, [6] * 3))
    while not step(running, 16)[0]:
        pass
    waiting = insert(running, [PROMPT], TOKENS)
    assert running.nbytes > 0
    for uid in (waiting, reading, decoding):
        running.remove(uid)
    assert running.nbytes == 0
    assert step(running) == ([], None)


def test_reading_beside_the_batch_fills_a_cache_as_the_batch_does(running: Batch, alone: list[int]) -> None:
    cache = running.new_cache()
    running.read(PROMPT[:150], cache)
    running.read(PROMPT[150:299], cache)
    assert sampled(running, insert(running, [PROMPT[299:]], TOKENS, PROMPT[:299], cache)) == alone


@pytest.mark.parametrize("length", [5, 128, 250])
def test_a_layer_made_of_its_keys_and_values_is_the_layer(running: Batch, alone: list[int], length: int) -> None:
    cache = running.new_cache()
    running.read(PROMPT[:length], cache)
    made: Cache = []
    for layer in cache:
        keys, values = caches.keys_and_values(layer, 0)
        if caches.is_sliding(layer):
            assert keys.shape[2] == min(length, layer.max_size)
            made.append(caches.sliding_layer(keys, values, layer.max_size, length))
            if length <= layer.max_size:  # else mlx-lm has kept more than the window, until it reads on
                assert made[-1].state[2:] == layer.state[2:]
        else:
            made.append(caches.full_layer(keys, values))
    running.read(PROMPT[length:299], made)
    assert sampled(running, insert(running, [PROMPT[299:]], TOKENS, PROMPT[:299], made)) == alone


def test_a_new_batch_leaves_the_wired_limit_as_it_was(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    wired = [12]

    def set_wired_limit(limit: int) -> int:
        wired.append(limit)
        return wired[-2]

    recommended: Any = BatchGenerator.__init__.__globals__["maybe_set_recommended_wired_limit"].__globals__["mx"]
    monkeypatch.setattr(recommended, "set_wired_limit", set_wired_limit)
    monkeypatch.setattr(recommended, "device_info", lambda: {"max_recommended_working_set_size": 40})
    made = Batch(model.model, ())
    assert wired == [12, 40, 12]
    del made
    assert wired == [12, 40, 12]
