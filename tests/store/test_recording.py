"""A session that is open: all that is noted is on the disk soon, as it was, whatever the disk does meanwhile."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.ledger import Entry
from gptoss_acp.store import Store, StoredSession, StoreError, database
from tests.support.store_process import entry, message
from tests.support.stored_sessions import big, damage, texts
from tests.support.waiting import settled

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
