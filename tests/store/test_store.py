"""Sessions on disk: what is stored comes back as it was, listed, copied, locked, deleted."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.ledger import Entry
from gptoss_acp.store import (
    CursorError,
    SessionInUseError,
    Store,
    StoreError,
    Undo,
    UnknownSessionError,
    database,
    schema,
    tables,
)
from gptoss_acp.store.locks import HeldError, Lock
from tests.support.store_process import message
from tests.support.waiting import settled


def entry(text: str, *tokens: int) -> Entry:
    return Entry("assistant", tokens or (1, 2, 3), text, "final", None, "json")


def title(text: str | None) -> dict[str, Any]:
    return {"sessionUpdate": "session_info_update", "title": text}


async def stored(store: Store, *updates: dict[str, Any], cwd: str = "/project") -> str:
    """Store a session, close it and return its id."""
    session = store.create(cwd)
    for update in updates:
        session.record(update)
    assert await session.close() is None
    return session.info.id


async def set_last_use(store: Store, session_id: str, days_ago: float) -> None:
    """Have a session last said something so many days ago."""

    def change() -> None:
        with store.worker.archive.database.transaction() as connection:
            then = tables.now() - int(days_ago * 24 * 3600 * 1e6)
            connection.execute("UPDATE sessions SET updated = ? WHERE id = ?", (then, session_id))

    await store.worker.run(change)


async def ids(store: Store) -> set[str]:
    return {info.id for info in (await store.page()).sessions}


# What comes back


async def test_a_session_is_there_before_anything_was_said(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project/", ["/other"], {"mode": "ask", "effort": "high"})
    assert await session.commit() is None
    (info,) = (await Store(tmp_path).page()).sessions
    assert (info.id, info.cwd, info.additional, info.title) == (session.info.id, "/project", ("/other",), None)
    assert info.config == {"mode": "ask", "effort": "high"}


async def test_entries_come_back_token_by_token(tmp_path: Path) -> None:
    entries = [
        Entry("user", (0, 200_006, 2**32 - 1), "Grüße\n"),
        Entry("assistant", tuple(range(1000)), "{}", "commentary", "functions.x", "<|constrain|>json", complete=False),
        Entry("tool", (), "no \udc80 UTF-8", "commentary", "functions.x"),
    ]
    store = Store(tmp_path)
    session = store.create("/project")
    session.keep(entries)
    await store.close()
    assert (await Store(tmp_path).open(session.info.id)).entries == entries


A, B, C, D = (entry(name) for name in "abcd")


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([[A], [A, B], [A, B, C]], id="it grows"),
        pytest.param([[A, B, C], [A, C], [A, C, D]], id="reasoning is dropped"),
        pytest.param([[A, B, C], [D, C]], id="it is compacted"),
        pytest.param([[A, B], []], id="it is cleared"),
        pytest.param([[A, B], [B, A]], id="it is another order"),
    ],
)
async def test_the_stored_ledger_is_the_last_one(steps: list[list[Entry]], tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    for step in steps:
        session.keep(step)
        await session.commit()
    await session.close()
    reopened = await store.open(session.info.id)
    assert reopened.entries == steps[-1]
    reopened.keep([*reopened.entries, D])
    await reopened.close()
    assert (await store.open(session.info.id)).entries == [*steps[-1], D]


async def test_changed_folders_and_options_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project", ["/a"], {"mode": "ask"})
    await session.commit()
    session.change(cwd="/elsewhere", additional=("/b",), config={"mode": "read-only"})
    await session.close()
    info = (await store.open(session.info.id)).info
    assert (info.cwd, info.additional, info.config) == ("/elsewhere", ("/b",), {"mode": "read-only"})


async def test_the_title_is_the_one_the_client_was_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session_id = await stored(store, title("First"), title("Better"), {"sessionUpdate": "session_info_update"})
    assert (await store.open(session_id)).info.title == "Better"


async def test_streamed_text_is_written_without_anybody_waiting_for_it(tmp_path: Path) -> None:
    session = Store(tmp_path).create("/project")
    await session.commit()
    session.record(message(1))
    other = Store(tmp_path)
    seen: list[Any] = []

    def is_written() -> bool:
        seen[:] = other.worker.archive.updates(session.info.id)
        return seen == [message(1)]

    await settled(is_written, seconds=30)


async def test_what_comes_after_the_close_is_not_stored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    session.record(message(1))
    await session.close()
    session.record(message(2))
    await session.commit()
    assert await (await store.open(session.info.id)).updates() == [message(1)]


async def test_file_changes_of_the_last_turns_come_back_but_for_those_taken_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    changes = [{"path": "/project/\udcff", "before": None, "after": "x" * 100}]
    for turn in range(tables.UNDO_TURNS + 3):
        session.add_undo(str(turn), changes)
        session.add_undo(str(turn), [])
    last = str(tables.UNDO_TURNS + 2)
    session.drop_undo(last)
    await session.close()
    kept = [str(turn) for turn in range(3, tables.UNDO_TURNS + 2)]
    reopened = await store.open(session.info.id)
    assert await reopened.undos() == [undo for turn in kept for undo in (Undo(turn, changes), Undo(turn, []))]


# The list


async def test_pages_show_each_session_once_while_others_are_added(tmp_path: Path) -> None:
    store = Store(tmp_path)
    there = [await stored(store) for _ in range(2 * tables.PAGE + 1)]
    shown, cursor = [], None
    for _ in range(3):
        page = await store.page(cursor=cursor)
        shown += [info.id for info in page.sessions]
        cursor = page.cursor
        await stored(store)
    assert shown == there[::-1]
    assert cursor is None


async def test_the_list_can_be_of_one_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ours = [await stored(store, cwd="/project") for _ in range(3)]
    await stored(store, cwd="/project/inner")
    assert [info.id for info in (await store.page("/project/")).sessions] == ours[::-1]


async def test_a_session_that_goes_on_is_the_newest_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = await stored(store), await stored(store)
    session = await store.open(first)
    session.record(message(1))
    await session.close()
    assert [info.id for info in (await store.page()).sessions] == [first, second]


async def test_opening_a_session_does_not_make_it_newer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = await stored(store), await stored(store)
    session = await store.open(first)
    session.record({"sessionUpdate": "usage_update", "used": 1, "size": 2})
    await session.close()
    assert [info.id for info in (await store.page()).sessions] == [second, first]


@pytest.mark.parametrize("cursor", ["", "x", "1", "1.2.3", "-1.2", "9" * 30 + ".1", "1.2\n"])
async def test_a_cursor_that_is_none_is_refused(cursor: str, tmp_path: Path) -> None:
    with pytest.raises(CursorError):
        await Store(tmp_path).page(cursor=cursor)


# Copies


async def test_a_fork_goes_its_own_way(tmp_path: Path) -> None:
    store = Store(tmp_path)
    source = store.create("/project", (), {"mode": "ask"})
    source.keep([A, B])
    source.record(message(1))
    source.record(title("Title"))
    source.add_undo("1", [])
    fork = await store.fork(source.info.id, "/elsewhere", ["/more"])
    assert fork.info.id != source.info.id
    assert (fork.info.cwd, fork.info.additional, fork.info.title) == ("/elsewhere", ("/more",), "Title")
    assert (fork.info.config, fork.entries, await fork.undos()) == ({"mode": "ask"}, [A, B], [])
    fork.keep([*fork.entries, C])
    fork.record(message(2))
    source.record(message(3))
    await store.close()
    later = Store(tmp_path)
    ours, theirs = await later.open(source.info.id), await later.open(fork.info.id)
    assert (ours.entries, theirs.entries) == ([A, B], [A, B, C])
    assert await ours.updates() == [message(1), message(3), title("Title")]
    assert await theirs.updates() == [message(1), message(2), title("Title")]


async def test_a_session_that_is_not_there_can_be_neither_opened_nor_forked_nor_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for session_id in ("nobody", "../../etc/passwd", ""):
        for attempt in (store.open(session_id), store.fork(session_id, "/"), store.delete(session_id)):
            with pytest.raises(UnknownSessionError, match="no session"):
                await attempt
    assert not (tmp_path / "locks").exists() or not list((tmp_path / "locks").iterdir())


# Locks


async def test_a_session_is_open_once(tmp_path: Path) -> None:
    store, other = Store(tmp_path), Store(tmp_path)
    session = store.create("/project")
    await session.commit()
    for attempt in (other.open(session.info.id), store.open(session.info.id), other.delete(session.info.id)):
        with pytest.raises(SessionInUseError, match="open already, in process"):
            await attempt
    await session.close()
    reopened = await other.open(session.info.id)
    await reopened.close()
    assert not list((tmp_path / "locks").iterdir())


async def test_a_session_whose_opening_or_closing_is_cancelled_is_free(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session_id = await stored(store)
    for attempt in (store.open, store.fork):
        opening = asyncio.create_task(attempt(session_id, *(["/"] if attempt == store.fork else [])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await settled(lambda: not list((tmp_path / "locks").iterdir()))
    session = await store.open(session_id)
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await settled(lambda: not list((tmp_path / "locks").iterdir()))


async def test_a_crashed_process_leaves_no_lock_file_for_long(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    await session.commit()
    stale = tmp_path / "locks" / "stale"
    stale.write_text("1")
    await store.keep_for(90)
    assert [path.name for path in (tmp_path / "locks").iterdir()] == [session.info.id]


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


# Deleting


async def test_a_deleted_session_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    secret = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "the secret word" * 500}}
    kept = await stored(store)
    session_id = await stored(store, secret)
    await store.delete(session_id)
    assert await ids(store) == {kept}
    await store.close()
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.glob("sessions.db*"))


async def test_old_sessions_are_deleted_unless_they_are_open(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, recent = await stored(store), await stored(store)
    open_elsewhere = Store(tmp_path).create("/project")
    await open_elsewhere.commit()
    for session_id, days_ago in ((old, 91), (open_elsewhere.info.id, 91), (recent, 89)):
        await set_last_use(store, session_id, days_ago)
    await store.keep_for(90)
    assert await ids(store) == {recent, open_elsewhere.info.id}


async def test_what_old_sessions_took_is_given_back_to_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path)
    large = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "x" * 1_000_000}}
    session_id = await stored(store, large)
    await set_last_use(store, session_id, 91)
    await store.keep_for(90)
    await store.close()
    assert (tmp_path / database.FILE).stat().st_size < 200_000


# The file


async def test_only_the_user_can_read_what_is_stored(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "sessions"
    session = Store(folder).create("/project")
    await session.commit()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert modes.pop("sessions") == modes.pop("locks") == 0o700
    assert "sessions.db-wal" in modes
    assert set(modes.values()) == {0o600}


async def test_an_empty_file_of_version_0_is_brought_up_to_date(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / database.FILE).close()
    await stored(Store(tmp_path))
    assert version(tmp_path) == len(schema.MIGRATIONS)


async def test_a_file_of_an_older_version_keeps_its_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = await stored(Store(tmp_path), message(1))
    step = ("ALTER TABLE sessions ADD COLUMN mood TEXT DEFAULT 'fine'", "CREATE TABLE moods (name TEXT)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    store = Store(tmp_path)
    assert await (await store.open(session_id)).updates() == [message(1)]
    await store.close()
    assert version(tmp_path) == len(schema.MIGRATIONS)
    connection = sqlite3.connect(tmp_path / database.FILE)
    assert connection.execute("SELECT mood FROM sessions").fetchall() == [("fine",)]


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = await stored(Store(tmp_path))
    before = version(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE half (name TEXT)", "nonsense")))
        with pytest.raises(StoreError):
            await Store(tmp_path).page()
    assert version(tmp_path) == before
    assert await ids(Store(tmp_path)) == {session_id}
    names = sqlite3.connect(tmp_path / database.FILE).execute("SELECT name FROM sqlite_schema").fetchall()
    assert ("half",) not in names


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    await stored(Store(tmp_path))
    connection = sqlite3.connect(tmp_path / database.FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        await Store(tmp_path).page()
    assert version(tmp_path) == 99


def version(folder: Path) -> int:
    connection = sqlite3.connect(folder / database.FILE)
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(number)
