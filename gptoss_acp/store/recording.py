"""One open session, written while it is lived.

What happens is first noted in memory, in microseconds, and written by the worker: twice a second while text streams,
and at once when somebody waits for it. While the disk is full or can't be written, all stays in memory and is tried
again, so that the session goes on, and is complete once there is room. What no disk could take is given up, and said.
Knows nothing about tokens or ACP's methods.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from gptoss_acp.store import replay, tables
from gptoss_acp.store.failures import DamagedError, StoreError, UnstorableError, unforeseen
from gptoss_acp.store.replay import Update
from gptoss_acp.store.tables import Info, Undo

if TYPE_CHECKING:
    from gptoss_acp.ledger import Entry
    from gptoss_acp.store.locks import Lock
    from gptoss_acp.store.worker import Worker

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 0.5


@dataclass(slots=True)
class Opened:
    """What a session is opened with."""

    info: Info
    lock: Lock | None = None
    entries: Sequence[Entry] = ()


class StoredSession:
    """A session that this process has open. What is noted here is written soon, and surely when `commit` returns."""

    def __init__(self, worker: Worker, opened: Opened, on_close: Callable[[], object]) -> None:
        self.info = opened.info
        self.entries = opened.entries
        self._worker = worker
        self._on_close = on_close
        self._lock = opened.lock
        self._kept: Sequence[Entry] = opened.entries
        self._pending = _Pending()
        self._guard = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._finished = False
        self._failing = False
        self._untold: list[StoreError] = []

    def record(self, update: Update) -> None:
        """Note an update that the client has been sent, and that nobody changes; a replay sends what all come to."""
        with self._noting() as pending:
            pending.add(update)

    def keep(self, entries: Sequence[Entry]) -> None:
        """Note what the ledger holds now. Only what differs from the last time is written."""
        with self._noting() as pending:
            pending.entries = tuple(entries)

    def add_undo(self, turn: str, changes: list[dict[str, Any]]) -> None:
        """Note what a turn is about to do to files; commit before it does. The last turns' are kept."""
        with self._noting() as pending:
            pending.undos.append(Undo(turn, changes))

    def drop_undo(self, turn: str) -> None:
        """Note that a turn's file changes have been taken back."""
        with self._noting() as pending:
            pending.undos.append(turn)

    def change(self, **fields: Any) -> None:
        """Note other folders (`cwd`, `additional`) or another `config`."""
        with self._noting() as pending:
            self.info = pending.info = replace(self.info, **fields)

    async def updates(self) -> list[dict[str, Any]]:
        """Return what a replay sends, in order.

        Raises:
            StoreError: it can't be read.
        """
        await self.flush()
        return await self._worker.run(self._worker.archive.updates, self.info.id)

    async def undos(self) -> list[Undo]:
        """Return the file changes of the last turns, the oldest first.

        Raises:
            StoreError: they can't be read.
        """
        await self.flush()
        return await self._worker.run(self._worker.archive.read, self.info.id, tables.undos)

    async def flush(self) -> None:
        """Write what was noted before, as far as that can be; the next commit says what can't."""
        await self._worker.run(self._write)

    async def commit(self) -> str | None:
        """Return when all that was noted before is on the disk.

        If that can't be, return what to tell the user, once; the session goes on, and all is tried again later, but for
        what could never be stored.
        """
        return await self._done(self._write)

    async def close(self) -> str | None:
        """Commit, and free the session for other processes. What is noted from here on is lost."""
        if not self._closed:
            self._on_close()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        return await asyncio.shield(self._done(self._finish))

    async def _done(self, work: Callable[[], None]) -> str | None:
        """Return what to tell the user, once `work` is done on the store's thread."""
        try:
            await self._worker.run(work)
        except StoreError as error:
            self._fail(error)
        with self._guard:
            untold, self._untold = self._untold, []
        return "; ".join(dict.fromkeys(map(str, untold))) or None

    @contextlib.contextmanager
    def _noting(self) -> Iterator[_Pending]:
        if self._closed:
            yield _Pending()
            return
        with self._guard:
            yield self._pending
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECKPOINT_SECONDS, self._checkpoint)

    def _checkpoint(self) -> None:
        self._timer = None
        try:
            self._worker.submit(self._write)
        except StoreError as error:
            self._fail(error)

    # On the store's thread

    def _write(self, *, again: bool = True) -> None:
        if self._finished:  # another process may have the session now
            return
        with self._guard:
            batch, self._pending = self._pending, _Pending()
        if not batch:
            return
        parts = [batch]
        try:
            while parts:
                parts[:1] = self._write_or_divide(parts[0])
        except Exception as error:  # noqa: BLE001, whatever it is, what was noted stays and somebody is told
            with self._guard:
                self._pending = reduce(_Pending.followed_by, (*parts, self._pending))
            self._fail(error)
            if isinstance(error, DamagedError) and again:
                self._write(again=False)
        else:
            self._failing = False
            with self._guard:
                self._untold = [error for error in self._untold if isinstance(error, DamagedError | UnstorableError)]

    def _write_or_divide(self, batch: _Pending) -> list[_Pending]:
        """Write a batch, or return those to write in its place because something in it can't be stored.

        A single such thing is given up. Raises what is not the fault of what is in the batch.
        """
        try:
            self._write_batch(batch)
        except StoreError:
            raise
        except Exception as error:
            if parts := batch.divided():
                return parts
            self._write_batch(_Pending())  # raises as well where it is not the batch's fault
            log.exception("a part of a session can't be stored")
            problem = f"something can't be stored (an unexpected {type(error).__name__}; the log says more)"
            self._tell(UnstorableError(f"{problem}; it will be missing when the session is loaded"))
        return []

    def _finish(self) -> None:
        self._write()
        self._finished = True
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _write_batch(self, batch: _Pending) -> None:
        if self._lock is None:
            self._lock = self._worker.archive.lock(self.info.id)
        entries = self._kept if batch.entries is None else batch.entries
        with self._worker.archive.database.transaction() as connection:
            number = tables.number(connection, self.info.id)
            if number is None:  # it is new, or the database is
                number = tables.insert(connection, self.info)
                tables.put_entries(connection, number, 0, entries)
            else:
                same = _common(self._kept, entries)
                tables.put_entries(connection, number, same, entries[same:])
                if batch.info is not None:
                    tables.change(connection, number, batch.info)
            tables.add_updates(connection, number, batch.updates)
            for undo in batch.undos:
                if isinstance(undo, Undo):
                    tables.add_undo(connection, number, undo)
                else:
                    tables.drop_undos(connection, number, undo)
        self._kept = entries

    def _fail(self, error: Exception) -> None:
        if not self._failing:
            told = error if isinstance(error, StoreError) else unforeseen(error)
            log.warning("%s", told, exc_info=None if told is error else error)
            self._tell(told)
        self._failing = True

    def _tell(self, error: StoreError) -> None:
        with self._guard:
            self._untold.append(error)


_Join = Callable[[Update, Update], Update | None]


@dataclass(slots=True)
class _Pending:
    """What is not written yet. Of `undos`, a text is the turn whose changes are dropped."""

    updates: list[Update] = field(default_factory=list)
    undos: list[Undo | str] = field(default_factory=list)
    entries: Sequence[Entry] | None = None
    info: Info | None = None

    def add(self, update: Update, join: _Join = replay.join_texts) -> None:
        """Note an update, as one with the last where they can be joined.

        Only texts are, as long as the disk takes them: of two other updates, one may be what can't be stored.
        """
        joined = None
        if self.updates:
            with contextlib.suppress(Exception):  # without an update's shape; it is said when it is to be written
                joined = join(self.updates[-1], update)
        if joined is None:
            self.updates.append(update)
        else:
            self.updates[-1] = joined

    def __bool__(self) -> bool:
        return bool(self.updates or self.undos or self.info) or self.entries is not None

    def followed_by(self, later: _Pending) -> _Pending:
        entries = self.entries if later.entries is None else later.entries
        both = _Pending([], self.undos + later.undos, entries, later.info or self.info)
        for update in (*self.updates, *later.updates):
            both.add(update, replay.merge)
        return both

    def divided(self) -> list[_Pending]:
        """Return a batch for each thing in this one, none where it is a single thing."""
        parts = [
            *([_Pending(info=self.info)] if self.info else ()),
            *(_Pending([update]) for update in self.updates),
            *(_Pending(undos=[undo]) for undo in self.undos),
            *([] if self.entries is None else [_Pending(entries=self.entries)]),
        ]
        return parts if len(parts) > 1 else []


def _common(left: Sequence[Entry], right: Sequence[Entry]) -> int:
    """Return how many entries both begin with, as objects: an entry never changes, and comparing ids takes long."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] is pair[1], zip(left, right, strict=False)))
