"""Sessions at rest: listed in pages, read, deleted for good, named where they are damaged."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gptoss_acp.store import Archive, CursorError, SessionInUseError, Store, StoreError, tables
from tests.support.store_process import entry, message
from tests.support.stored_sessions import ids, stored

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


@pytest.mark.parametrize("cursor", ["", "x", "1", "1.2.3", "-1.2", "9" * 30 + ".1", "1.2\n"])
async def test_a_cursor_that_is_none_is_refused(cursor: str, tmp_path: Path) -> None:
    with pytest.raises(CursorError):
        await Store(tmp_path).page(cursor=cursor)


# What is read and deleted


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold a lock's file as another process does, and yield its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield descriptor
    os.close(descriptor)


async def test_a_session_that_another_process_has_is_refused_with_its_name_where_that_is_known(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session_id = await stored(store)
    with locked(tmp_path / "locks" / session_id) as lock:
        for owner, said in (
            (b"77", "in process 77; close it there first"),
            (b"", "in another process; close it there"),
        ):
            os.truncate(lock, 0)
            os.pwrite(lock, owner, 0)
            with pytest.raises(SessionInUseError, match=said):
                await store.delete(session_id)
    await store.delete(session_id)


async def test_what_is_known_of_a_session_is_read_without_opening_it(tmp_path: Path) -> None:
    session = Store(tmp_path).create("/project", ["/other"], {"mode": "ask"})
    session.keep([entry(1), entry(2)])
    session.record(message(1))
    await session.commit()
    archive = Archive(tmp_path)
    assert archive.info(session.info.id).additional == ("/other",)
    assert archive.size(session.info.id) == (2, 5)
    assert archive.updates(session.info.id) == [message(1)]
    assert archive.matching(session.info.id[:8]) == [session.info.id]
    assert archive.matching("%") == []


async def test_a_deleted_session_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    secret = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "the secret word" * 500}}
    kept = await stored(store)
    session_id = await stored(store, secret)
    await store.delete(session_id)
    assert await ids(store) == {kept}
    await store.close()
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.glob("sessions.db*"))


@pytest.mark.parametrize("what", ["updates SET body", "entries SET tokens", "sessions SET config"])
async def test_a_damaged_session_is_named_and_can_be_deleted(what: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    session.record(message(1))
    session.keep([entry(1)])
    await store.close()
    store = Store(tmp_path)
    with store.worker.archive.database.transaction() as connection:
        connection.execute(f"UPDATE {what} = x'FF'")
    store.worker.archive.database.close()
    with pytest.raises(StoreError, match=f"{session.info.id} is damaged; delete it"):
        await (await store.open(session.info.id)).updates()
    await store.close()
    store = Store(tmp_path)
    await store.delete(session.info.id)
    assert (await store.page()).sessions == []
