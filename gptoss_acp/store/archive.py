"""What can be done with stored sessions, one call after the other: list, read, lock, delete.

Blocks while the disk works. Knows nothing about sessions that are being written.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, Any, TypeVar

from gptoss_acp import own_files
from gptoss_acp.store import tables
from gptoss_acp.store.database import Database, advice, default_folder
from gptoss_acp.store.failures import SessionInUseError, StoreError, UnknownSessionError
from gptoss_acp.store.locks import HeldError, Lock, clear

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gptoss_acp.store.tables import Info, Page

_Read = TypeVar("_Read")

_DAY = 24 * 60 * 60 * 1_000_000


class Archive:
    """The stored sessions in a folder, the user's own where none is given. Every method may raise StoreError."""

    def __init__(self, folder: Path | None = None) -> None:
        self.database = Database(folder or default_folder())
        self._locks = self.database.folder / "locks"

    def page(self, cwd: str | None = None, cursor: str | None = None) -> Page:
        """Return the first sessions, newest first, of a folder or of all; with a cursor, those that follow it.

        Raises:
            CursorError: no page has given this cursor.
        """
        with self.database.transaction("DEFERRED") as connection:
            return tables.page(connection, cwd and os.path.normpath(cwd), cursor)

    def the_one(self, prefix: str) -> str:
        """Return the id that begins with `prefix`.

        Raises:
            StoreError: there is none, or more than one.
        """
        ids = self.matching(prefix)
        if len(ids) == 1:
            return ids[0]
        problem = f"{len(ids)} sessions begin" if ids else "no session begins"
        raise StoreError(f"{problem} with {prefix}; `gptoss-acp sessions` lists them")

    def info(self, session_id: str) -> Info:
        """Raises UnknownSessionError where there is no such session."""
        return self.read(session_id, tables.info)

    def updates(self, session_id: str) -> list[dict[str, Any]]:
        """Return what a replay sends. Raises UnknownSessionError where there is no such session."""
        return self.read(session_id, tables.updates)

    def size(self, session_id: str) -> tuple[int, int]:
        """Return how many entries a session has, and how many tokens. Raises UnknownSessionError as `info` does."""
        return self.read(session_id, tables.size)

    def read(self, session_id: str, query: Callable[..., _Read]) -> _Read:
        """Return what `query` of `tables` says of a session. Raises UnknownSessionError where there is no such one."""
        try:
            with self.database.transaction("DEFERRED") as connection:
                return query(connection, known(tables.number(connection, session_id), session_id))
        except (ValueError, struct.error, zlib.error) as error:
            problem = f"the session {session_id} is damaged; delete it with `gptoss-acp sessions delete`"
            raise StoreError(f"{problem} ({error})") from error

    def matching(self, prefix: str) -> list[str]:
        """Return the ids that begin with `prefix`."""
        with self.database.transaction("DEFERRED") as connection:
            return tables.matching(connection, prefix)

    def lock(self, session_id: str) -> Lock:
        """Keep a session for this process.

        Raises:
            SessionInUseError: another has it open, or this one has already.
        """
        try:
            own_files.make_folder(self._locks)
            return Lock(self._locks / session_id)
        except HeldError as held:
            raise _in_use(session_id, held.owner) from None
        except OSError as error:
            raise StoreError(advice(error, self.database.folder)) from error

    def delete(self, session_id: str, if_older_than: int | None = None) -> None:
        """Delete a session, or only if it has said nothing since a time.

        Raises:
            UnknownSessionError: there is no such session.
            SessionInUseError: a process has it open.
        """
        self.read(session_id, lambda *_: None)  # before its id names a file
        lock = self.lock(session_id)
        try:
            with self.database.transaction() as connection:
                number = known(tables.number(connection, session_id), session_id)
                tables.delete(connection, number, if_older_than)
        finally:
            lock.release()

    def outdated(self, days: float) -> tuple[list[str], int]:
        """Return the ids of the sessions that have said nothing for so many days, and the time when those began."""
        since = tables.now() - round(days * _DAY)
        with self.database.transaction("DEFERRED") as connection:
            return tables.older(connection, since), since

    def clear_locks(self) -> None:
        """Remove what crashed processes have left."""
        clear(self._locks)


def known(number: int | None, session_id: str) -> int:
    """Return `number`. Raises UnknownSessionError where it is None."""
    if number is None:
        raise UnknownSessionError(f"there is no session {session_id[:100]}")
    return number


def _in_use(session_id: str, owner: int | None) -> SessionInUseError:
    """Return what to say of a session that the process `owner`, None where nobody knows which, has open."""
    if owner == os.getpid():
        return SessionInUseError(f"the session {session_id} is open already, in this process; close it first")
    where = "another process" if owner is None else f"process {owner}"
    return SessionInUseError(f"the session {session_id} is open already, in {where}; close it there first")
