"""The database file: opened, brought up to date, shared with other processes, set aside when it is damaged.

Knows SQLite and what can go wrong with a file. Knows nothing about what the tables mean. One thread uses a Database.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from platformdirs import user_data_path

from gptoss_acp import own_files
from gptoss_acp.store import locks, schema
from gptoss_acp.store.failures import DamagedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

FILE = "sessions.db"
BUSY_SECONDS = 5.0
"""How long another process is waited for."""

_SHRINK_PAGES = 2000

_PRAGMAS = (
    "journal_mode = WAL",  # readers and one writer do not wait for each other
    # A commit is flushed to the disk, so that not even a power cut takes back what has been answered. It costs
    # milliseconds, a few times a turn, on a thread where nothing else waits for it.
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",  # a deleted conversation leaves no text in the file
)


_FAULTS_OF_VALUES = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""What SQLite raises for a value that it can't take, whatever the file is like."""


def default_folder() -> Path:
    """Return the folder of the user's sessions."""
    return user_data_path("gptoss-acp") / "sessions"


class Database:
    """The database in a folder, opened when it is first used, and again when another file has taken its place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE
        self._connection: sqlite3.Connection | None = None
        self._opened: os.stat_result | None = None

    @contextlib.contextmanager
    def transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"] = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Read (DEFERRED) or also write (IMMEDIATE): all of it or, where an error is raised, nothing.

        Raises:
            DamagedError: the file was damaged, and has been set aside.
            StoreError: the database can't be used.
            sqlite3.Error: it can't take a value.
        """
        with self._used() as connection:
            connection.execute(f"BEGIN {kind}")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")

    def shrink(self) -> bool:
        """Give some of the room of what was deleted back to the disk, and return whether there is more.

        Raises:
            StoreError: see `transaction`.
        """
        with self._used() as connection:
            (before,) = connection.execute("PRAGMA freelist_count").fetchone()
            connection.executescript(f"PRAGMA incremental_vacuum({_SHRINK_PAGES})")  # `execute` would take one page
            (after,) = connection.execute("PRAGMA freelist_count").fetchone()
        return bool(0 < after < before)

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    @contextlib.contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connected()
        except _FAULTS_OF_VALUES:
            raise
        except (sqlite3.Error, OSError) as error:
            raise self._explained(error) from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and not self._is_in_place():
            self.close()
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        own_files.make_folder(self.folder)
        with self._alone():
            os.close(own_files.open_file(self.path, os.O_RDWR))
            self._opened = self.path.stat()
            connection = sqlite3.connect(
                self.path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,  # one at a time uses it, but another one once the first has died
            )
            try:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version == 0:  # it counts only while there is no table
                    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                for pragma in _PRAGMAS:
                    connection.execute(f"PRAGMA {pragma}").fetchall()
                self._bring_up_to_date(connection, version)
            except BaseException:
                connection.close()
                raise
        return connection

    def _bring_up_to_date(self, connection: sqlite3.Connection, version: int) -> None:
        if version > len(schema.MIGRATIONS):
            raise StoreError(f"{self.path} was written by a newer version of gptoss-acp; update gptoss-acp")
        if version == len(schema.MIGRATIONS):
            return
        connection.execute("BEGIN IMMEDIATE")
        for statements in schema.MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS)}")
        connection.execute("COMMIT")

    def _explained(self, error: Exception) -> StoreError:
        if not _says_damaged(error):
            return StoreError(advice(error, self.folder))
        try:
            return self._put_aside()
        except OSError as failure:
            return StoreError(advice(failure, self.folder))

    def _put_aside(self) -> StoreError:
        """Rename the damaged file, unless another process has done so already."""
        self.close()
        message = f"the database {self.path} was damaged and has been set aside"
        with self._alone():
            if self._is_in_place():
                aside = self.path.with_name(f"sessions-damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.db")
                for suffix in ("", "-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
                message += f" as {aside.name}"
        message += "; a new one is started, and the sessions in the old one are not listed any more"
        log.warning(message)
        return DamagedError(message)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from opening or renaming the file."""
        return locks.hold(self.folder / "opening.lock", BUSY_SECONDS)

    def _is_in_place(self) -> bool:
        # Another process may have set the file aside, or the user removed it: what is written there would be lost.
        try:
            return self._opened is not None and os.path.samestat(self._opened, self.path.stat())
        except FileNotFoundError:
            return False


def _says_damaged(error: Exception) -> bool:
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _code(error: Exception) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF  # the upper bits tell variants apart


def advice(error: Exception, folder: Path) -> str:
    """Return what is wrong and what to do about it."""
    code = _code(error)
    if code == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}):
        return f"sessions can't be stored in {folder}: the disk is full; free some space"
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} or isinstance(error, TimeoutError):
        return f"the sessions in {folder} are kept busy by another process; try again"
    return f"sessions can't be kept in {folder} ({error}); make it a folder that you can write to"
