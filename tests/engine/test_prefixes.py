"""KV reuse on the bundled model: what is kept gives the tokens of a cold run, and costs what it should."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from gptoss_acp.engine import snapshot_files, weights
from gptoss_acp.engine.caches import Cache
from gptoss_acp.engine.prefixes import PrefixCache
from gptoss_acp.engine.ranks.group import Ranks

ROOMY = 2**40


@pytest.fixture
def tokens() -> list[int]:
    generator = np.random.default_rng(5)
    return [int(token) for token in generator.integers(300, 90_000, 400)]


def read(model: weights.LoadedModel, cache: Cache, tokens: list[int]) -> mx.array:
    """Prefill `tokens` and return the last one's logits, (vocabulary,) float32."""
    network: Any = model.model
    logits: mx.array = network.lm_head(network.model(mx.array([tokens]), cache)[:, -1:])[0, 0]
    mx.eval(logits, [layer.state for layer in cache])
    return logits


def cold(model: weights.LoadedModel, tokens: list[int]) -> mx.array:
    return read(model, model.model.make_cache(), tokens)


def keep(prefixes: PrefixCache, model: weights.LoadedModel, tokens: list[int]) -> None:
    """Read `tokens`, from the nearest snapshot on, and keep a snapshot at their end."""
    done, cache = prefixes.find(tokens)
    cache = cache or model.model.make_cache()
    read(model, cache, tokens[done:])
    prefixes.add(tokens, cache)


def empty(model: weights.LoadedModel, budget: int = ROOMY, tier: snapshot_files.DiskTier | None = None) -> PrefixCache:
    return PrefixCache(model.model.make_cache(), budget, tier)


@pytest.mark.parametrize("kept", [1, 60, 127, 128, 129, 300, 399])
def test_a_prompt_goes_on_from_a_snapshot_as_if_it_had_been_read_whole(
    model: weights.LoadedModel, tokens: list[int], kept: int
) -> None:
    prefixes = empty(model)
    keep(prefixes, model, tokens[:kept])
    done, cache = prefixes.find(tokens)
    assert done == kept
    assert cache is not None
    assert mx.allclose(read(model, cache, tokens[kept:]), cold(model, tokens), atol=1e-3)


def test_a_snapshot_is_not_spoilt_by_what_goes_on_from_it(model: weights.LoadedModel, tokens: list[int]) -> None:
    prefixes = empty(model)
    keep(prefixes, model, tokens[:200])
    for other in (11, 22, 33):
        branch = [*tokens[:200], *[other] * 150]
        _, cache = prefixes.find(branch)
        assert cache is not None
        assert mx.allclose(read(model, cache, branch[200:]), cold(model, branch), atol=1e-3)


def test_the_last_token_is_always_left_to_read(model: weights.LoadedModel, tokens: list[int]) -> None:
    prefixes = empty(model)
    keep(prefixes, model, tokens[:50])
    keep(prefixes, model, tokens[:60])
    assert prefixes.find(tokens[:60])[0] == 50


def test_prompts_that_differ_early_share_nothing(model: weights.LoadedModel, tokens: list[int]) -> None:
    prefixes = empty(model)
    keep(prefixes, model, tokens[:50])
    assert prefixes.find([1, *tokens[1:]]) == (0, None)


def test_a_snapshot_costs_its_own_tokens_and_a_window_not_the_whole_context(
    model: weights.LoadedModel, tokens: list[int]
) -> None:
    prefixes = empty(model)
    keep(prefixes, model, tokens[:380])
    before = prefixes.nbytes
    keep(prefixes, model, tokens[:390])
    window = before - 380 * model.bytes_per_token
    assert prefixes.nbytes - before == 10 * model.bytes_per_token + window


def test_the_least_recently_used_snapshots_go_first_and_the_rest_still_works(
    model: weights.LoadedModel, tokens: list[int]
) -> None:
    conversations = [[*tokens[:100], *[start] * 50] for start in (7, 8, 9)]
    prefixes = empty(model)
    keep(prefixes, model, tokens[:100])
    for conversation in conversations[:2]:
        keep(prefixes, model, conversation)
    room = prefixes.nbytes
    assert prefixes.find([*conversations[0], 1])[0] == 150
    keep(prefixes, model, conversations[2])
    prefixes.shrink(room)
    assert prefixes.nbytes <= room
    assert [prefixes.find([*c, 1])[0] for c in conversations] == [150, 100, 150]
    prefixes.shrink(0)
    assert prefixes.nbytes == 0
    assert prefixes.find(tokens) == (0, None)


def test_a_cache_takes_over_a_snapshot_that_memory_does_not_hold_beside_it(
    model: weights.LoadedModel, tokens: list[int]
) -> None:
    prefixes = empty(model)
    for end in (100, 200, 350):
        keep(prefixes, model, tokens[:end])
    room = prefixes.nbytes - 1
    done, cache = prefixes.find(tokens, room)
    assert done == 350
    assert cache is not None
    assert prefixes.nbytes <= room
    assert prefixes.find(tokens)[0] == 200
    assert mx.allclose(read(model, cache, tokens[350:]), cold(model, tokens), atol=1e-3)


def test_others_go_before_a_cache_takes_over_what_it_needs(model: weights.LoadedModel, tokens: list[int]) -> None:
    prefixes = empty(model)
    keep(prefixes, model, tokens[:200])
    room = prefixes.nbytes
    keep(prefixes, model, [5] * 50)
    assert prefixes.find(tokens, room)[0] == 200
    assert prefixes.find(tokens)[0] == 200
    assert not prefixes.covers([5] * 50)


def test_what_does_not_fit_is_not_kept_and_costs_nothing_that_is(model: weights.LoadedModel, tokens: list[int]) -> None:
    prefixes = empty(model)
    keep(prefixes, model, tokens[:200])
    room = prefixes.nbytes + 10
    keep(prefixes, model, [5] * 50)
    cache = model.model.make_cache()
    read(model, cache, tokens)
    assert not prefixes.add(tokens, cache, room)
    assert prefixes.find(tokens)[0] == 200
    assert prefixes.covers([5] * 50)
    assert prefixes.add(tokens, cache)
    assert prefixes.covers(tokens)


@pytest.fixture
def tier(tmp_path: Path) -> Iterator[snapshot_files.DiskTier]:
    tier = snapshot_files.DiskTier(tmp_path, "model", ROOMY)
    yield tier
    tier.close()


def persist(prefixes: PrefixCache, tier: snapshot_files.DiskTier, tokens: list[int]) -> None:
    prefixes.persist(tokens)
    tier.flush()


def test_snapshots_survive_a_restart(
    model: weights.LoadedModel, tokens: list[int], tier: snapshot_files.DiskTier, tmp_path: Path
) -> None:
    prefixes = empty(model, tier=tier)
    keep(prefixes, model, tokens[:150])
    keep(prefixes, model, tokens[:300])
    persist(prefixes, tier, tokens[:300])
    again = empty(model, tier=snapshot_files.DiskTier(tmp_path, "model", ROOMY))
    assert again.nbytes == 0
    done, cache = again.find(tokens)
    assert done == 300
    assert cache is not None
    assert mx.allclose(read(model, cache, tokens[300:]), cold(model, tokens), atol=1e-3)


def test_a_snapshot_evicted_from_memory_comes_back_from_disk(
    model: weights.LoadedModel, tokens: list[int], tier: snapshot_files.DiskTier
) -> None:
    prefixes = empty(model, tier=tier)
    keep(prefixes, model, tokens[:200])
    persist(prefixes, tier, tokens[:200])
    prefixes.shrink(0)
    assert prefixes.nbytes == 0
    assert prefixes.find(tokens)[0] == 200


def test_a_snapshot_on_the_disk_stays_known_when_a_cache_takes_it_over(
    model: weights.LoadedModel, tokens: list[int], tier: snapshot_files.DiskTier
) -> None:
    prefixes = empty(model, tier=tier)
    keep(prefixes, model, tokens[:200])
    persist(prefixes, tier, tokens[:200])
    assert prefixes.find(tokens, 0)[0] == 200
    assert prefixes.nbytes == 0
    done, cache = prefixes.find(tokens)
    assert done == 200
    assert cache is not None
    assert mx.allclose(read(model, cache, tokens[200:]), cold(model, tokens), atol=1e-3)


def test_another_model_never_gets_these_snapshots(
    model: weights.LoadedModel, tokens: list[int], tier: snapshot_files.DiskTier, tmp_path: Path
) -> None:
    prefixes = empty(model, tier=tier)
    keep(prefixes, model, tokens[:100])
    persist(prefixes, tier, tokens[:100])
    assert empty(model, tier=snapshot_files.DiskTier(tmp_path, "another", ROOMY)).find(tokens) == (0, None)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "gone"])
def test_a_damaged_file_is_removed_and_what_is_before_it_still_used(
    model: weights.LoadedModel, tokens: list[int], tier: snapshot_files.DiskTier, tmp_path: Path, damage: str
) -> None:
    prefixes = empty(model, tier=tier)
    keep(prefixes, model, tokens[:100])
    persist(prefixes, tier, tokens[:100])
    (first,) = snapshot_files.files(tmp_path)
    keep(prefixes, model, tokens[:300])
    persist(prefixes, tier, tokens[:300])
    (second,) = [path for path in snapshot_files.files(tmp_path) if path != first]
    tier_again = snapshot_files.DiskTier(tmp_path, "model", ROOMY)
    again = empty(model, tier=tier_again) if damage == "gone" else None
    content = second.read_bytes()
    match damage:
        case "truncated":
            second.write_bytes(content[: len(content) // 2])
        case "flipped":
            second.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
        case "foreign":
            second.write_bytes(b"not a snapshot")
        case "gone":
            second.unlink()
    again = again or empty(model, tier=tier_again)
    assert again.find(tokens)[0] == 100
    assert snapshot_files.files(tmp_path) == [first]


def test_a_file_that_only_cannot_be_read_now_is_left_and_used_later(
    model: weights.LoadedModel, tokens: list[int], tier: snapshot_files.DiskTier, tmp_path: Path
) -> None:
    prefixes = empty(model, tier=tier)
    keep(prefixes, model, tokens[:100])
    keep(prefixes, model, tokens[:300])
    persist(prefixes, tier, tokens[:300])
    first, second = sorted(snapshot_files.files(tmp_path), key=lambda path: path.stat().st_size)
    prefixes.shrink(0)
    away = second.rename(tmp_path / "away")
    second.mkdir()  # reading it is an OSError, and not the one of a file that is gone
    assert prefixes.find(tokens)[0] == 100
    second.rmdir()
    away.rename(second)
    assert prefixes.find(tokens)[0] == 300
    assert set(snapshot_files.files(tmp_path)) == {first, second}


def test_what_the_disk_could_not_take_is_stored_the_next_time(
    model: weights.LoadedModel,
    tokens: list[int],
    tier: snapshot_files.DiskTier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefixes = empty(model, tier=tier)
    for end in (100, 200, 300):
        keep(prefixes, model, tokens[:end])
    monkeypatch.setattr(snapshot_files, "MOST_WAITING", 1)
    with monkeypatch.context() as patch:
        patch.setattr(snapshot_files.DiskTier, "write", lambda *_: False)
        persist(prefixes, tier, tokens[:300])
    assert snapshot_files.files(tmp_path) == []
    for _ in range(3):
        persist(prefixes, tier, tokens[:300])
    again = empty(model, tier=snapshot_files.DiskTier(tmp_path, "model", ROOMY))
    assert again.find(tokens)[0] == 300


def test_a_snapshot_that_is_let_go_of_on_its_way_to_the_disk_is_found_once_it_is_there(
    model: weights.LoadedModel, tokens: list[int], tier: snapshot_files.DiskTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    write = snapshot_files.DiskTier._write

    def slowly(tier: snapshot_files.DiskTier, snapshot: snapshot_files.Write) -> None:
        go_on.wait()
        write(tier, snapshot)

    monkeypatch.setattr(snapshot_files.DiskTier, "_write", slowly)
    prefixes = empty(model, tier=tier)
    keep(prefixes, model, tokens[:200])
    prefixes.persist(tokens[:200])
    prefixes.shrink(0)
    assert prefixes.find(tokens) == (0, None)
    go_on.set()
    tier.flush()
    assert prefixes.find(tokens)[0] == 200


class OneHasLess(Ranks):
    """Another rank than this has snapshots of these lengths only."""

    size = 2

    def __init__(self, *lengths: int) -> None:
        self._lengths = lengths

    def longest_common(self, lengths: Sequence[int]) -> int:
        return max({0, *lengths} & {0, *self._lengths})


@pytest.mark.parametrize(("others", "common"), [((100, 200), 200), ((100,), 100), ((150,), 0)])
def test_of_several_ranks_a_prompt_goes_on_from_what_all_have(
    model: weights.LoadedModel, tokens: list[int], others: tuple[int, ...], common: int
) -> None:
    prefixes = PrefixCache(model.model.make_cache(), ROOMY, None, OneHasLess(*others))
    for length in (100, 200, 300):
        prefixes.add(tokens[:length], read_cache(model, tokens[:length]))
    done, cache = prefixes.find(tokens)
    assert done == common
    if cache is not None:
        assert mx.allclose(read(model, cache, tokens[common:]), cold(model, tokens), atol=1e-3)


def read_cache(model: weights.LoadedModel, tokens: list[int]) -> Cache:
    cache: Cache = model.model.make_cache()
    read(model, cache, tokens)
    return cache
