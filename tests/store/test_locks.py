"""Locked files: one process holds each, and it is known which."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gptoss_acp.store.locks import HeldError, Lock, clear, hold


def test_a_lock_that_was_waited_for_counts_for_those_who_come_later(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = Lock(path)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(Lock, path, 30)
        time.sleep(0.1)
        first.release()
        second = waiting.result(30)
    with pytest.raises(HeldError):
        Lock(path, 0)
    second.release()
    assert not path.exists()


def test_a_lock_names_the_process_that_holds_it_this_one_too(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("1234567890")  # what a process has left that was killed
    lock = Lock(path)
    with pytest.raises(HeldError) as held:
        Lock(path, 0)
    assert held.value.owner == os.getpid()
    path.write_text("")  # as it is before its owner has written
    with pytest.raises(HeldError) as held:
        Lock(path, 0)
    assert held.value.owner is None
    lock.release()


def test_only_locks_that_nobody_holds_are_cleared(tmp_path: Path) -> None:
    held = Lock(tmp_path / "held")
    (tmp_path / "left").write_text("1")
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["held"]
    with pytest.raises(HeldError):
        Lock(tmp_path / "held", 0)
    held.release()


def test_who_waits_in_vain_for_a_held_file_is_told(tmp_path: Path) -> None:
    with hold(tmp_path / "file", 0), pytest.raises(TimeoutError), hold(tmp_path / "file", 0.05):
        pass
    with hold(tmp_path / "file", 0):
        assert (tmp_path / "file").exists()
