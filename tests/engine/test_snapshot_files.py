"""Stored snapshots as files: bounded on the disk and on their way there, and removed only for what they are."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import safetensors.numpy

from gptoss_acp.engine import snapshot_files
from gptoss_acp.engine.snapshot_files import Arrays, DiskTier, UnusableSnapshotError, Write

ROOMY = 2**40
KB = 1024

Open = Callable[..., DiskTier]


@pytest.fixture
def open_tier(tmp_path: Path) -> Iterator[Open]:
    """Give what opens the stored snapshots of a model."""
    opened: list[DiskTier] = []

    def open_one(model: str = "model", budget: int = ROOMY) -> DiskTier:
        opened.append(DiskTier(tmp_path, model, budget))
        return opened[-1]

    yield open_one
    for tier in opened:
        tier.close()


def layers(kilobytes: int = 1) -> list[tuple[mx.array, mx.array]]:
    """Return one layer's keys and values, of so many kilobytes together."""
    half = mx.arange(kilobytes * KB // 4, dtype=mx.bfloat16).reshape(1, 1, -1, 1)
    return [(half, half + 1)]


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:40]


def store(tier: DiskTier, name: str, parent: str = "", kilobytes: int = 1) -> None:
    """Store the snapshot `name`, and return when it is on the disk."""
    assert tier.write(digest(name), digest(parent) if parent else "", [1, 2, 3], layers(kilobytes))
    tier.flush()


def names(root: Path, *candidates: str) -> set[str]:
    """Return which of `candidates` are stored, by any model."""
    found = {path.name.split(".")[0] for path in snapshot_files.files(root)}
    return {name for name in candidates if digest(name) in found}


def use(root: Path, name: str, at: float) -> None:
    (path,) = root.glob(f"*/{digest(name)}.*")
    os.utime(path, (at, at))


def hold_writer(patch: pytest.MonkeyPatch) -> threading.Event:
    """Let nothing be written before the event is set."""
    go_on = threading.Event()
    write = DiskTier._write

    def slowly(tier: DiskTier, snapshot: Write) -> None:
        go_on.wait()
        write(tier, snapshot)

    patch.setattr(DiskTier, "_write", slowly)
    return go_on


# What is stored


def test_what_is_stored_comes_back_to_the_bit(open_tier: Open) -> None:
    store(open_tier(), "a")
    again = open_tier()
    (stored,) = again.stored()
    assert (stored.digest, stored.parent, stored.tokens) == (digest("a"), "", (1, 2, 3))
    ((keys, values),) = again.read(digest("a"), 1)
    ((expected_keys, expected_values),) = layers()
    assert keys.dtype == mx.bfloat16
    assert mx.array_equal(keys, expected_keys)
    assert mx.array_equal(values, expected_values)


def test_stored_contexts_are_private(open_tier: Open, tmp_path: Path) -> None:
    store(open_tier(), "a")
    (file,) = snapshot_files.files(tmp_path)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "model", file)] == [0o700, 0o600]


def test_parents_are_told_of_before_what_goes_on_from_them(open_tier: Open) -> None:
    tier = open_tier()
    for name, parent in (("a", ""), ("b", "a"), ("c", "b"), ("d", "a"), ("e", "")):
        store(tier, name, parent)
    told = [stored.digest for stored in open_tier().stored()]
    assert len(told) == 5
    for name, parent in (("b", "a"), ("c", "b"), ("d", "a")):
        assert told.index(digest(parent)) < told.index(digest(name))


def test_what_a_killed_process_left_half_written_is_removed_and_what_another_writes_is_not(
    open_tier: Open, tmp_path: Path
) -> None:
    old, fresh = tmp_path / "model/a.1.77-78", tmp_path / "model/b.2.78-79"
    old.parent.mkdir()
    for file in (old, fresh):
        file.touch()
    os.utime(old, (0, 0))
    open_tier("another")
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_closed_tier_leaves_no_thread_behind(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    opened = DiskTier(tmp_path, "model", ROOMY)
    (writer,) = set(threading.enumerate()) - before
    opened.close()
    writer.join(20)
    assert not writer.is_alive()


# The budget


def test_the_disk_budget_holds_and_the_least_recently_used_files_go(open_tier: Open, tmp_path: Path) -> None:
    tier = open_tier(budget=40 * KB)
    for number, name in enumerate("abcdef"):
        store(tier, name, kilobytes=10)
        use(tmp_path, name, 1000 + number)
    assert names(tmp_path, *"abcdef") == set("def")
    assert not tier.holds(digest("a"))
    assert tier.holds(digest("f"))


def test_no_snapshot_goes_before_what_goes_on_from_it(open_tier: Open, tmp_path: Path) -> None:
    tier = open_tier(budget=40 * KB)
    for at, (name, parent) in enumerate([("a", ""), ("b", "a"), ("c", "b")]):
        store(tier, name, parent, kilobytes=10)
        use(tmp_path, name, 1000 + at)
    store(tier, "x", kilobytes=10)
    assert names(tmp_path, *"abcx") == set("abx")
    store(tier, "y", kilobytes=10)
    assert names(tmp_path, *"abcxy") == set("axy")


def test_another_models_snapshots_go_leaves_first_too(open_tier: Open, tmp_path: Path) -> None:
    other, tier = open_tier("other"), open_tier(budget=40 * KB)
    for one in (other, tier):  # the same tokens have the same digests in both
        store(one, "a", kilobytes=10)
        os.utime(next(one._folder.glob(f"{digest('a')}.*")), (1000, 1000))
    store(other, "b", "a", kilobytes=10)
    use(tmp_path, "b", 2000)
    store(tier, "x", kilobytes=10)
    left = sorted((path.parent.name, path.name.split(".")[0]) for path in snapshot_files.files(tmp_path))
    assert left == sorted([("other", digest("a")), ("other", digest("b")), ("model", digest("x"))])


def test_what_is_of_no_use_any_more_goes_first(open_tier: Open, tmp_path: Path) -> None:
    tier = open_tier(budget=40 * KB)
    for name, parent in (("a", ""), ("x", ""), ("y", "x")):
        store(tier, name, parent, kilobytes=10)
    next(tier._folder.glob(f"{digest('x')}.*")).unlink()
    use(tmp_path, "a", 1000)
    use(tmp_path, "y", 2000)
    for name in ("b", "c"):
        store(tier, name, kilobytes=10)
    assert names(tmp_path, *"abcxy") == set("abc")


def test_a_snapshot_is_not_stored_where_what_it_goes_on_from_is_not(open_tier: Open, tmp_path: Path) -> None:
    tier = open_tier()
    store(tier, "b", "a")
    assert snapshot_files.files(tmp_path) == []
    store(tier, "a")
    store(tier, "b", "a")
    assert names(tmp_path, *"ab") == set("ab")


# The writer


def test_while_much_waits_for_a_slow_disk_nothing_more_is_taken(
    open_tier: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_files, "MOST_WAITING", 25 * KB)
    go_on = hold_writer(monkeypatch)
    tier = open_tier()
    taken = [tier.write(digest(name), "", [1], layers(10)) for name in "abc"]
    assert taken == [True, True, False]
    go_on.set()
    tier.flush()
    assert names(tmp_path, *"abc") == set("ab")
    store(tier, "c")
    assert names(tmp_path, *"abc") == set("abc")


def test_one_larger_than_all_that_may_wait_is_taken_by_itself(open_tier: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_files, "MOST_WAITING", 1)
    store(open_tier(), "a")


def test_what_is_stored_or_waits_is_not_written_again(open_tier: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    go_on = hold_writer(monkeypatch)
    write = DiskTier._write

    def noted(tier: DiskTier, snapshot: Write) -> None:
        write(tier, snapshot)
        written.append(snapshot.stored.digest)

    monkeypatch.setattr(DiskTier, "_write", noted)
    tier = open_tier()
    assert all(tier.write(digest("a"), "", [1], layers()) for _ in range(2))
    go_on.set()
    tier.flush()
    store(tier, "a")
    assert written == [digest("a")]


@pytest.mark.parametrize(
    "error", [OSError("no space"), ValueError("odd"), MemoryError(), RuntimeError("MLX"), SystemExit()], ids=repr
)
def test_whatever_a_write_raises_is_logged_and_later_ones_work(
    open_tier: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
) -> None:
    def fail(*_: object) -> bytes:
        raise error

    tier = open_tier()
    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save", fail)
        store(tier, "a")
    assert tier._waiting == 0
    assert any("was not stored" in record.message for record in caplog.records)
    assert isinstance(error, OSError) or any(record.exc_info for record in caplog.records)
    store(tier, "a")
    assert names(tmp_path, "a") == {"a"}


def test_what_can_not_be_copied_does_not_wait_to_be_written(
    open_tier: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> Arrays:
        raise MemoryError

    tier = open_tier()
    with monkeypatch.context() as patch:
        patch.setattr(snapshot_files, "_to_numpy", fail)
        with pytest.raises(MemoryError):
            store(tier, "a")
    assert not tier.holds(digest("a"))
    assert tier._waiting == 0
    store(tier, "a")
    assert names(tmp_path, "a") == {"a"}


def test_a_failed_eviction_is_logged_and_later_writes_work(
    open_tier: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tier = open_tier(budget=15 * KB)
    store(tier, "a", kilobytes=10)
    with monkeypatch.context() as patch:
        patch.setattr(snapshot_files, "_first_to_go", lambda _: 1 // 0)
        store(tier, "b", kilobytes=10)
    assert any(record.exc_info for record in caplog.records)
    store(tier, "c", kilobytes=10)
    assert names(tmp_path, *"abc") == {"c"}


# What is removed, and what is left


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "flipped": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "foreign": lambda _: b"not a snapshot",
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_says_so_when_it_is_read(open_tier: Open, tmp_path: Path, damage: str) -> None:
    tier = open_tier()
    store(tier, "a")
    (file,) = snapshot_files.files(tmp_path)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.raises(UnusableSnapshotError, match="is damaged"):
        tier.read(digest("a"), 1)


def test_a_file_that_is_gone_says_so(open_tier: Open, tmp_path: Path) -> None:
    tier = open_tier()
    store(tier, "a")
    snapshot_files.files(tmp_path)[0].unlink()
    for name in ("a", "never-stored"):
        with pytest.raises(UnusableSnapshotError, match="is gone"):
            tier.read(digest(name), 1)


@pytest.mark.parametrize("arrays", [{}, {"0.keys:odd": 1}, {"0.keys": 1}, {"0.keys:float32": 1}], ids=str)
def test_a_whole_file_of_another_kind_says_so(open_tier: Open, tmp_path: Path, arrays: dict[str, int]) -> None:
    content = safetensors.numpy.save({name: np.zeros(8, np.uint8) for name in arrays} | {"tokens": np.zeros(1)})
    tier = open_tier()
    path = tmp_path / "model" / snapshot_files._name(digest("a"), content)
    path.write_bytes(content)
    tier._paths[digest("a")] = path
    with pytest.raises(UnusableSnapshotError, match="is foreign"):
        tier.read(digest("a"), 1)


@pytest.mark.parametrize("damage", ["truncated", "foreign", "empty"])
def test_at_the_start_a_damaged_file_and_what_went_on_from_it_are_removed_and_the_log_says_why(
    open_tier: Open, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    tier = open_tier()
    for name, parent in (("a", ""), ("b", "a"), ("c", "b"), ("x", "")):
        store(tier, name, parent)
    file = next(tmp_path.glob(f"*/{digest('b')}.*"))
    file.write_bytes(DAMAGES[damage](file.read_bytes())[:50])
    assert {stored.digest for stored in open_tier().stored()} == {digest("a"), digest("x")}
    assert names(tmp_path, *"abcx") == set("ax")
    (reason,) = [record.message for record in caplog.records if file.name in record.message]
    assert "SafetensorError" in reason


def test_at_the_start_what_only_cannot_be_read_now_is_left_with_what_goes_on_from_it(
    open_tier: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tier = open_tier()
    for name, parent in (("a", ""), ("b", "a"), ("c", "b")):
        store(tier, name, parent)
    file = next(tmp_path.glob(f"*/{digest('b')}.*"))
    away = file.rename(tmp_path / "away")
    file.mkdir()  # reading it is an OSError, and not the one of a file that is gone
    assert [stored.digest for stored in open_tier().stored()] == [digest("a")]
    assert "can't be read now" in caplog.text
    file.rmdir()
    away.rename(file)
    assert len(open_tier().stored()) == 3


def test_a_file_that_cannot_be_removed_or_touched_stops_nothing(
    open_tier: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tier = open_tier()
    store(tier, "a")
    (file,) = snapshot_files.files(tmp_path)
    file.unlink()
    tier.touch([digest("a"), digest("never-stored")])
    file.mkdir()
    tier.remove(digest("a"))
    assert [record.levelno for record in caplog.records if "can't be removed" in record.message] == [logging.WARNING]


def test_where_nothing_can_be_stored_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert snapshot_files.tier("model", 0) is None
    (tmp_path / "file").touch()
    monkeypatch.setattr(snapshot_files, "folder", lambda: tmp_path / "file" / "prefixes")
    assert snapshot_files.tier("model", 1.0) is None
    assert "snapshots are not stored" in caplog.text
