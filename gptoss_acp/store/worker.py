"""The one thread on which stored sessions are read and written.

SQLite has one writer anyway, and a flush to the disk takes milliseconds that the event loop does not have. Knows
nothing about what is done there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from gptoss_acp.store.archive import Archive

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class Worker:
    """A thread that has `archive` to itself."""

    def __init__(self, folder: Path | None) -> None:
        self.archive = Archive(folder)
        self._thread = ThreadPoolExecutor(1, "store")

    async def run(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """Return what `work` does on the store's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def start(self, work: Callable[[], None]) -> None:
        """Have `work` done on the store's thread, some time."""
        self._thread.submit(work).add_done_callback(_log_failure)

    def stop(self) -> None:
        """Take nothing more, and end when all is done."""
        self._thread.shutdown(wait=False)


def _log_failure(work: Future[None]) -> None:
    if error := work.exception():
        log.error("what happened could not be stored", exc_info=error)
