"""Locked files: one process holds each, and it is known which."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gptoss_acp.store.locks import HeldError, Lock


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
