"""The one thread on which stored sessions are read and written.

SQLite has one writer anyway, and a flush to the disk takes milliseconds that the event loop does not have. Whatever is
raised there is logged and told to who waits, and the next finds a thread. Knows nothing about what is done there.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from gptoss_acp.store.archive import Archive
from gptoss_acp.store.failures import CursorError, StoreError, unforeseen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class Worker:
    """A thread that has `archive` to itself."""

    def __init__(self, folder: Path | None) -> None:
        self.archive = Archive(folder)
        self._pool, self._threads = _new_pool()
        self._stopped = False

    async def run(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """Return what `work` does on the store's thread.

        Raises:
            StoreError: what it raises, or whatever else has gone wrong there.
        """
        return await result(self.submit(work, *arguments))

    def submit(self, work: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
        """Have `work` done on the store's thread, after all that it was given before; fails as `run` does."""
        if self._stopped:
            raise StoreError("the sessions are closed already; start the program again")
        if not all(thread.is_alive() for thread in self._threads):
            self._replace()
        try:
            return self._pool.submit(_supervised, work, *arguments)
        except RuntimeError as error:  # the system has no thread left
            self._replace()
            raise StoreError(f"sessions can't be stored or read now ({error}); try again") from error

    def stop(self) -> None:
        """Take nothing more, and end when all is done."""
        self._stopped = True
        self._pool.shutdown(wait=False)

    def _replace(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool, self._threads = _new_pool()


async def result(work: Future[_Result]) -> _Result:
    """Return what `submit` has promised. Raises StoreError as `run` does, also where the thread died before."""
    try:
        return await asyncio.wrap_future(work)
    except asyncio.CancelledError:
        waiting = asyncio.current_task()
        if waiting is not None and waiting.cancelling():
            raise
        raise StoreError("sessions could not be stored or read: the thread that does so has died; try again") from None


def _new_pool() -> tuple[ThreadPoolExecutor, list[threading.Thread]]:
    """Return a pool of one thread, and where that one stands once it is needed."""
    threads: list[threading.Thread] = []
    return ThreadPoolExecutor(1, "store", lambda: threads.append(threading.current_thread())), threads


def _supervised(work: Callable[..., _Result], *arguments: Any) -> _Result:
    try:
        return work(*arguments)
    except (StoreError, CursorError):
        raise
    except BaseException as error:  # not even an exit may pass: the event loop would take it for its own
        log.exception("the store's thread failed")
        raise unforeseen(error) from error
