"""The store's thread: whatever goes wrong there is told to who waits, logged, and over with the next call."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from gptoss_acp.store import StoreError
from gptoss_acp.store.worker import Worker
from tests.support.waiting import settled


@pytest.mark.parametrize("error", [ValueError("of ours"), MemoryError("of ours"), SystemExit("of ours")])
async def test_whatever_escapes_is_told_as_a_store_error_and_logged(
    error: BaseException, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(tmp_path)

    def fail() -> None:
        raise error

    with pytest.raises(StoreError, match=f"unexpected {type(error).__name__}"):
        await worker.run(fail)
    assert "Traceback" in caplog.text
    assert "of ours" in caplog.text
    assert (await worker.run(worker.archive.page)).sessions == []
    worker.stop()


async def test_a_thread_that_has_died_is_replaced(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    await worker.run(worker.archive.page)
    thread = await worker.run(threading.current_thread)
    ready = threading.Event()
    worker.submit(ready.wait).add_done_callback(lambda _: sys.exit())  # ends the thread that runs it
    ready.set()
    await settled(lambda: not thread.is_alive())
    assert await worker.run(threading.current_thread) is not thread
    assert (await worker.run(worker.archive.page)).sessions == []
    worker.stop()


async def test_who_waits_behind_a_thread_that_dies_is_told_so(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    thread = await worker.run(threading.current_thread)
    ready = threading.Event()
    worker.submit(ready.wait).add_done_callback(lambda _: sys.exit())
    waiting = asyncio.create_task(worker.run(worker.archive.page))
    await asyncio.sleep(0)
    ready.set()
    await settled(lambda: not thread.is_alive())
    assert (await worker.run(worker.archive.page)).sessions == []
    with pytest.raises(StoreError, match="died"):
        await waiting
    worker.stop()


async def test_who_is_cancelled_while_he_waits_is_cancelled(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    ready = threading.Event()
    waiting = asyncio.create_task(worker.run(ready.wait))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    ready.set()
    worker.stop()


async def test_what_is_told_not_to_be_done_for_want_of_a_thread_is_not_done_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(tmp_path)
    done: list[str] = []

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(StoreError, match="can't start new thread"):
            await worker.run(done.append, "too late")
    await worker.run(done.append, "in time")
    assert done == ["in time"]
    worker.stop()


async def test_a_worker_that_was_stopped_says_so_once_it_has_done_what_it_had(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    ready = threading.Event()
    last = worker.submit(ready.wait)
    worker.stop()
    with pytest.raises(StoreError, match="closed already"):
        await worker.run(worker.archive.page)
    ready.set()
    assert last.result(timeout=30)
