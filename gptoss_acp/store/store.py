"""The stored sessions as the agent uses them: created, opened, copied, listed, deleted.

Nothing here blocks the event loop. Knows nothing about tokens or ACP's methods.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from gptoss_acp.store import tables
from gptoss_acp.store.archive import Archive, known
from gptoss_acp.store.failures import SessionInUseError, UnknownSessionError
from gptoss_acp.store.recording import Opened, StoredSession
from gptoss_acp.store.tables import Info, Page
from gptoss_acp.store.worker import Worker, result

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from gptoss_acp.store.locks import Lock


class Store:
    """The stored sessions, used from one event loop. Every method that waits may raise StoreError."""

    def __init__(self, folder: Path | None = None) -> None:
        self.worker = Worker(folder)
        self._open: dict[str, StoredSession] = {}

    def create(self, cwd: str, additional: Sequence[str] = (), config: dict[str, Any] | None = None) -> StoredSession:
        """Return a new session, which is stored at its first commit."""
        session = self._opened(Opened(_new(cwd, additional)))
        session.change(config=config or {})
        return session

    async def open(self, session_id: str) -> StoredSession:
        """Open a stored session, for this process alone until it is closed.

        Raises:
            UnknownSessionError: there is no such session.
            SessionInUseError: it is open already, here or in another process.
        """
        return await self._opening(_open, self.worker.archive, session_id)

    async def fork(self, session_id: str, cwd: str, additional: Sequence[str] = ()) -> StoredSession:
        """Open a copy of a stored session, with an id of its own; the session itself may be open anywhere.

        Raises:
            UnknownSessionError: there is no such session.
        """
        if session := self._open.get(session_id):
            await session.flush()
        return await self._opening(_fork, self.worker.archive, session_id, _new(cwd, additional))

    async def page(self, cwd: str | None = None, cursor: str | None = None) -> Page:
        """See Archive.page."""
        return await self.worker.run(self.worker.archive.page, cwd, cursor)

    async def delete(self, session_id: str) -> None:
        """See Archive.delete; a session that is open here is to be closed first."""
        await self.worker.run(self.worker.archive.delete, session_id)

    async def keep_for(self, days: float) -> None:
        """Delete the sessions that have said nothing for so many days, but for those that are open anywhere."""
        outdated, since = await self.worker.run(self.worker.archive.outdated, days)
        for session_id in outdated:
            # In small steps, here and below, so that a running turn never waits for all of them.
            with contextlib.suppress(UnknownSessionError, SessionInUseError):
                await self.worker.run(self.worker.archive.delete, session_id, since)
        while await self.worker.run(self.worker.archive.database.shrink):
            pass
        await self.worker.run(self.worker.archive.clear_locks)

    async def close(self) -> None:
        """Write what is left of every open session, and free them for other processes."""
        for session in list(self._open.values()):
            await session.close()
        await self.worker.run(self.worker.archive.database.close)
        self.worker.stop()

    async def _opening(self, work: Callable[..., Opened], *arguments: Any) -> StoredSession:
        opening = self.worker.submit(work, *arguments)
        try:
            return self._opened(await result(opening))
        except asyncio.CancelledError:
            opening.add_done_callback(_free)  # nobody will close what nobody has got
            raise

    def _opened(self, opened: Opened) -> StoredSession:
        session = StoredSession(self.worker, opened, lambda: self._open.pop(opened.info.id, None))
        self._open[opened.info.id] = session
        return session


def _new(cwd: str, additional: Sequence[str]) -> Info:
    return Info(str(uuid.uuid4()), os.path.normpath(cwd), tuple(additional))


def _open(archive: Archive, session_id: str) -> Opened:
    info = archive.info(session_id)  # before its id names a file
    lock = archive.lock(info.id)
    try:
        return archive.read(session_id, partial(_load, lock))
    except BaseException:
        lock.release()
        raise


def _load(lock: Lock, connection: sqlite3.Connection, number: int) -> Opened:
    return Opened(tables.info(connection, number), lock, tables.entries(connection, number))


def _fork(archive: Archive, session_id: str, new: Info) -> Opened:
    lock = archive.lock(new.id)
    try:
        with archive.database.transaction() as connection:
            source = known(tables.number(connection, session_id), session_id)
            original = tables.info(connection, source)
            tables.copy(connection, source, replace(new, config=original.config, title=original.title))
        return archive.read(new.id, partial(_load, lock))
    except BaseException:
        lock.release()
        raise


def _free(opening: Future[Opened]) -> None:
    if not opening.cancelled() and not opening.exception() and (lock := opening.result().lock):
        lock.release()
