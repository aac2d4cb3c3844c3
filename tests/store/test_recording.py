"""A session that is open: all that is noted is on the disk soon, as it was, whatever the disk does meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.ledger import Entry
from gptoss_acp.store import DamagedError, Store, StoredSession, StoreError, Undo, database, tables
from tests.support.store_process import entry, message
from tests.support.stored_sessions import big, damage, ids, texts, title
from tests.support.waiting import settled


def changed(output: Any) -> dict[str, Any]:
    return {"sessionUpdate": "tool_call_update", "toolCallId": "c", "status": "in_progress", "rawOutput": output}


# What is noted


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


A, B, C, D = (entry(number) for number in range(4))


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


async def test_only_entries_that_differ_are_written(tmp_path: Path) -> None:
    session = Store(tmp_path).create("/project")
    session.keep([A, B, C])
    await session.close()
    store = Store(tmp_path)
    with store.worker.archive.database.transaction() as connection:
        connection.execute("CREATE TABLE written (number)")
        insert = "INSERT INTO written VALUES (new.number)"
        connection.execute(f"CREATE TRIGGER note AFTER INSERT ON entries BEGIN {insert}; END")
    session = await store.open(session.info.id)
    a, b, c = session.entries
    for entries, numbers in (([a, b, c, D], [3]), ([a, b, D], [2]), ([a, b, D], []), ([B, b, D], [0, 1, 2])):
        session.keep(entries)
        await session.commit()
        with contextlib.closing(sqlite3.connect(tmp_path / database.FILE, isolation_level=None)) as connection:
            assert [number for (number,) in connection.execute("SELECT number FROM written")] == numbers
            connection.execute("DELETE FROM written")


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


async def test_what_is_read_back_is_what_was_noted_the_moment_before(tmp_path: Path) -> None:
    session = Store(tmp_path).create("/project")
    session.record(message(1))
    session.add_undo("turn", [])
    assert await session.updates() == [message(1)]
    session.drop_undo("turn")
    assert await session.undos() == []


async def test_a_session_that_was_closed_twice_is_not_closed_when_it_is_open_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.create("/project")
    await first.close()
    second = await store.open(first.info.id)
    await first.close()
    second.record(message(1))
    await store.close()
    assert await (await Store(tmp_path).open(first.info.id)).updates() == [message(1)]


async def test_what_comes_after_the_close_is_not_stored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    session.record(message(1))
    await session.close()
    session.record(message(2))
    await session.commit()
    session._pending.updates.append(message(3))  # as a write that failed at the close would leave it
    await session.commit()
    assert session._lock is None
    assert await (await store.open(session.info.id)).updates() == [message(1)]


# What the disk does not take now


async def goes_on_in_memory(session: StoredSession, reason: str) -> None:
    """A session that can't be stored now says so once, and takes more."""
    problem = await session.commit()
    assert problem is not None
    assert reason in problem
    session.record(message(1))
    session.keep([entry(1)])
    assert await session.commit() is None
    session.record(message(2))


async def all_is_stored(session: StoredSession, folder: Path) -> None:
    assert await session.close() is None
    reopened = await Store(folder).open(session.info.id)
    assert await reopened.updates() == [big(0), message(1), message(2)]
    assert reopened.entries == [entry(1)]
    await reopened.close()


async def test_a_database_that_another_process_keeps_busy_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    session = Store(tmp_path).create("/project")
    await session.commit()
    session.record(message(1))
    with Store(tmp_path).worker.archive.database.transaction():
        problem = await session.commit()
        assert problem is not None
        assert "busy" in problem
    assert await session.commit() is None
    assert texts(await session.updates()) == ["message 1"]
    session.record(message(2))
    with Store(tmp_path).worker.archive.database.transaction():
        problem = await session.commit()
        assert problem is not None, "it is told only once in the life of a session"
        assert "busy" in problem


async def test_what_the_disk_takes_before_anybody_asks_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    session = Store(tmp_path).create("/project")
    await session.commit()
    session.record(message(1))
    with Store(tmp_path).worker.archive.database.transaction():
        await session.flush()
    assert "busy" in caplog.text
    assert await session.commit() is None


async def test_what_waits_for_the_disk_is_no_more_than_what_it_comes_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    session = Store(tmp_path).create("/project")
    await session.commit()
    with Store(tmp_path).worker.archive.database.transaction():
        for number in range(20):
            session.record(changed(number))
            await session.flush()
        assert session._pending.updates == [changed(19)]


async def test_a_full_database_is_tried_again_until_all_is_stored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    await session.commit()

    def limit(pages: int) -> None:
        with store.worker.archive.database.transaction() as connection:
            connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    await store.worker.run(limit, 1)  # the least is what the file has
    session.record(big(0))
    await goes_on_in_memory(session, "the disk is full; free some space")
    assert [info.id for info in (await store.page()).sessions] == [session.info.id]
    await store.worker.run(limit, 10_000)
    await all_is_stored(session, tmp_path)


async def test_a_full_disk_is_tried_again_until_all_is_stored(small_disk: Path) -> None:
    store = Store(small_disk / "sessions")
    session = store.create("/project")
    await session.commit()
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass
    session.record(big(0))
    await goes_on_in_memory(session, "the disk is full; free some space")
    new = store.create("/project")
    problem = await new.commit()
    assert problem is not None
    assert "full" in problem
    assert [info.id for info in (await store.page()).sessions] == [session.info.id]
    filler.unlink()
    await all_is_stored(session, small_disk / "sessions")
    assert await new.close() is None
    assert len((await store.page()).sessions) == 2
    await store.close()


async def test_a_folder_that_can_not_be_made_is_tried_again_until_all_is_stored(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    folder.write_text("a file where the folder should be")
    store = Store(folder)
    for attempt in (store.page(), store.open("x"), store.keep_for(90), store.fork("x", "/")):
        with pytest.raises(StoreError, match="make it a folder that you can write to"):
            await attempt
    session = store.create("/project")
    session.record(big(0))
    await goes_on_in_memory(session, "make it a folder that you can write to")
    folder.unlink()
    await all_is_stored(session, folder)


# A database that is gone


async def test_a_live_session_goes_on_in_the_new_database_when_the_old_one_is_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project", ["/other"], {"mode": "ask"})
    session.keep([entry(1), entry(2)])
    session.record(message(1))
    await session.commit()
    await store.worker.run(store.worker.archive.database.close)
    damage(tmp_path / database.FILE)
    session.record(message(2))
    problem = await session.commit()
    assert problem is not None
    assert "sessions-damaged-" in problem
    assert await ids(Store(tmp_path)) == {session.info.id}, "the new database has nothing until something more is said"
    assert await session.commit() is None
    await store.close()
    reopened = await Store(tmp_path).open(session.info.id)
    assert reopened.entries == [entry(1), entry(2)]
    assert (reopened.info.additional, reopened.info.config) == (("/other",), {"mode": "ask"})
    assert texts(await reopened.updates()) == ["message 2"]


async def test_a_session_moves_on_with_a_file_that_another_process_has_put_in_place(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    session.keep([entry(1)])
    await session.commit()
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"{database.FILE}{suffix}").rename(tmp_path / f"aside.db{suffix}")
    session.keep([*session.entries, entry(2)])
    assert await session.commit() is None
    (info,) = (await Store(tmp_path).page()).sessions
    assert info.id == session.info.id


async def test_a_database_that_is_damaged_again_and_again_is_not_written_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    tries = 0

    def damaged() -> None:
        nonlocal tries
        tries += 1
        raise DamagedError("was damaged")

    with monkeypatch.context() as patch:
        patch.setattr(store.worker.archive.database, "transaction", damaged)
        assert await session.commit() == "was damaged"
    assert tries == 2
    assert await session.commit() is None
    assert await ids(store) == {session.info.id}


# What no disk could take

ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "unstorable",
    [
        pytest.param({"text": "?"}, id="no update"),
        pytest.param({"sessionUpdate": "agent_message_chunk", "content": None}, id="no content"),
        pytest.param(changed({("a", "b"): "c"}), id="no JSON"),
        pytest.param(changed(ENDLESS), id="without an end"),
        pytest.param({**title(None), "title": {"a": "b"}}, id="no text for SQLite"),
        pytest.param({**title(None), "title": 2**70}, id="no number for SQLite"),
    ],
)
async def test_what_can_not_be_stored_costs_nothing_else_and_is_told_once(
    unstorable: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = Store(tmp_path).create("/project")
    for update in (message(1), unstorable, unstorable, message(2)):
        session.record(update)
    session.keep([A])
    session.add_undo("turn", [])
    problem = await session.commit()
    assert problem is not None
    assert "can't be stored" in problem
    assert problem.count("will be missing") == 1
    assert caplog.text.count("Traceback") == 2
    session.record(message(3))
    assert await session.commit() is None
    assert await session.close() is None
    assert caplog.text.count("Traceback") == 2
    reopened = await Store(tmp_path).open(session.info.id)
    assert texts(await reopened.updates()) == ["message 1", "message 2", "message 3"]
    assert reopened.entries == [A]
    assert await reopened.undos() == [Undo("turn", [])]


async def test_what_was_given_up_while_nobody_waited_is_told_by_the_next_commit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = Store(tmp_path).create("/project")
    await session.commit()
    session.record(changed(ENDLESS))
    await settled(lambda: "Traceback" in caplog.text, seconds=30)
    session.record(message(1))
    problem = await session.commit()
    assert problem is not None
    assert "will be missing" in problem
    assert await session.commit() is None


async def test_of_a_tool_call_only_the_change_that_can_not_be_stored_is_lost(tmp_path: Path) -> None:
    session = Store(tmp_path).create("/project")
    start = {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "Run", "kind": "execute", "status": "pending"}
    for update in (start, changed("a"), changed(ENDLESS), {**changed("b"), "status": "completed"}):
        session.record(update)
    assert await session.commit() is not None
    assert await session.updates() == [{**start, "status": "completed", "rawOutput": "b"}]


async def test_a_ledger_that_can_not_be_stored_leaves_the_last_one_until_it_can(tmp_path: Path) -> None:
    session = Store(tmp_path).create("/project")
    session.keep([A])
    assert await session.commit() is None
    session.keep([A, Entry("user", (2**32,), "")])
    session.record(message(1))
    assert await session.commit() is not None
    other = Store(tmp_path)
    assert (await other.fork(session.info.id, "/")).entries == [A]
    session.keep([A, B])
    assert await session.commit() is None
    assert (await other.fork(session.info.id, "/")).entries == [A, B]
    assert await session.updates() == [message(1)]


async def test_what_fails_for_no_fault_of_its_own_stays_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = Store(tmp_path).create("/project")
    await session.commit()

    def fail(*_: Any) -> None:
        raise LookupError("a fault of this program")

    with monkeypatch.context() as patch:
        patch.setattr(tables, "number", fail)
        for number in (1, 2):
            session.record(message(number))
        session.keep([A])
        problem = await session.commit()
        assert problem is not None
        assert "LookupError" in problem
        assert "a fault of this program" in caplog.text
        session.record(message(3))
        assert await session.commit() is None
    session.record(message(4))
    assert await session.close() is None
    reopened = await Store(tmp_path).open(session.info.id)
    assert texts(await reopened.updates()) == [f"message {number}" for number in range(1, 5)]
    assert reopened.entries == [A]


async def test_what_is_noted_while_a_write_fails_comes_after_what_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Store(tmp_path).create("/project")
    await session.commit()
    is_there, go_on = threading.Event(), threading.Event()

    def fail(*_: Any) -> None:
        is_there.set()
        assert go_on.wait(30)
        raise LookupError

    with monkeypatch.context() as patch:
        patch.setattr(tables, "number", fail)
        session.record(message(1))
        writing = asyncio.create_task(session.flush())
        await asyncio.to_thread(is_there.wait, 30)
        session.record(message(2))
        go_on.set()
        await writing
    assert texts(await session.updates()) == ["message 1", "message 2"]


async def test_a_store_without_a_thread_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Store(tmp_path).create("/project")
    session.record(message(1))

    def fail(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        problem = await session.commit()
        assert problem is not None
        assert "can't start new thread" in problem
    assert await session.commit() is None
    assert texts(await session.updates()) == ["message 1"]
