"""What may happen to stored sessions: processes killed, disks full, files damaged. Nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.store import SessionInUseError, Store, StoredSession, StoreError, database
from tests.support.places import REPOSITORY
from tests.support.store_process import call, entry, message


@contextlib.contextmanager
def process(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run `tests.support.store_process`, and kill it at the end."""
    command = [sys.executable, "-m", "tests.support.store_process", *map(str, arguments)]
    running = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        assert running.stdout
        running.stdout.close()


def said(running: subprocess.Popen[str]) -> str:
    """Return the next line of a process."""
    assert running.stdout
    return running.stdout.readline().strip()


def texts(updates: list[dict[str, Any]]) -> list[str]:
    return [update["content"]["text"] for update in updates if update["sessionUpdate"] == "agent_message_chunk"]


# Processes


@pytest.mark.parametrize("seed", range(4))
async def test_a_killed_writer_loses_nothing_that_it_acknowledged(seed: int, tmp_path: Path) -> None:
    with process("write", tmp_path, 100_000) as writer:
        session_id = said(writer)
        while int(said(writer)) < 3 + seed:
            pass
        time.sleep(random.Random(seed).random() / 10)  # noqa: ASYNC251
        writer.kill()
        assert writer.stdout
        acknowledged = int(([str(3 + seed), *writer.stdout.read().split()])[-1])
    store = Store(tmp_path)
    session = await store.open(session_id)
    updates = await session.updates()
    # The step that it was killed in is there as a whole or not at all.
    steps = len(session.entries)
    assert steps in {acknowledged + 1, acknowledged + 2}
    assert session.entries == [entry(number) for number in range(steps)]
    assert texts(updates) == [f"message {number}" for number in range(steps)]
    assert [update["rawOutput"] for update in updates[1::2]] == [
        call(number)[1]["rawOutput"] for number in range(steps)
    ]
    assert (await session.undos())[-1].changes[0]["after"] == str(steps - 1)
    session.record(message(steps))
    assert await session.commit() is None
    assert texts(await session.updates())[-1] == f"message {steps}"


async def test_a_session_is_refused_while_another_process_has_it_and_free_once_that_is_killed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    await session.close()
    with process("hold", tmp_path, session.info.id) as holder:
        assert said(holder) == "open"
        with pytest.raises(SessionInUseError, match=f"process {holder.pid}; close it there"):
            await store.open(session.info.id)
        with pytest.raises(SessionInUseError):
            await store.delete(session.info.id)
        assert [info.id for info in (await store.page()).sessions] == [session.info.id]
        holder.kill()
        holder.wait()
        assert (await store.open(session.info.id)).info.id == session.info.id


async def test_several_processes_write_at_once(tmp_path: Path) -> None:
    steps = 15
    with contextlib.ExitStack() as writers:
        running = [writers.enter_context(process("write", tmp_path, steps)) for _ in range(3)]
        sessions = [said(writer) for writer in running]
        for writer in running:
            assert writer.wait(120) == 0
    store = Store(tmp_path)
    for session_id in sessions:
        session = await store.open(session_id)
        assert session.entries == [entry(number) for number in range(steps)]
        assert len(await session.updates()) == 2 * steps


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


# Damage


def overwrite_start(file: Path) -> None:
    with file.open("r+b") as content:
        content.write(b"garbage " * 64)


def overwrite_middle(file: Path) -> None:
    with file.open("r+b") as content:
        content.seek(4096)
        content.write(os.urandom(file.stat().st_size - 4096))


def cut_off(file: Path) -> None:
    os.truncate(file, 4096)


@pytest.mark.parametrize("damage", [overwrite_start, overwrite_middle, cut_off])
async def test_a_damaged_database_is_set_aside_and_a_new_one_started(damage: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    session.record(message(1))
    await store.close()
    file = tmp_path / database.FILE
    damage(file)
    content = file.read_bytes()
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="was damaged and has been set aside as sessions-damaged-") as problem:
        await store.page()
    (aside,) = tmp_path.glob("sessions-damaged-*.db")
    assert aside.name in str(problem.value)
    assert aside.read_bytes() == content
    assert (await store.page()).sessions == []
    session = store.create("/project")
    assert await session.commit() is None
    assert [info.id for info in (await store.page()).sessions] == [session.info.id]


async def test_a_live_session_goes_on_in_the_new_database_when_the_old_one_is_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project", ["/other"], {"mode": "ask"})
    session.keep([entry(1), entry(2)])
    session.record(message(1))
    await session.commit()
    await store.worker.run(store.worker.archive.database.close)
    overwrite_start(tmp_path / database.FILE)
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


# No room, no right


async def goes_on_in_memory(session: StoredSession, reason: str) -> None:
    """A session that can't be stored now says so once, and takes more."""
    problem = await session.commit()
    assert problem is not None
    assert reason in problem
    session.record(message(1))
    session.keep([entry(1)])
    assert await session.commit() is None
    session.record(message(2))


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


def big(number: int) -> dict[str, Any]:
    content = {"type": "text", "text": "x" * 50_000}
    return {"sessionUpdate": "user_message_chunk", "messageId": f"u{number}", "content": content}


async def all_is_stored(session: StoredSession, folder: Path) -> None:
    assert await session.close() is None
    reopened = await Store(folder).open(session.info.id)
    assert await reopened.updates() == [big(0), message(1), message(2)]
    assert reopened.entries == [entry(1)]
    await reopened.close()
