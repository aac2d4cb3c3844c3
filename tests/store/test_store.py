"""Stored sessions as the agent uses them: they come back, are copied, are open once, and are tidied away."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.store import SessionInUseError, Store, StoredSession, UnknownSessionError, database, tables
from tests.support.places import REPOSITORY
from tests.support.store_process import call, entry, message
from tests.support.stored_sessions import ids, set_last_use, stored, texts, title
from tests.support.waiting import settled


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


# What comes back


A, B, C = (entry(number) for number in range(3))


async def test_a_session_is_there_before_anything_was_said(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project/", ["/other"], {"mode": "ask", "effort": "high"})
    assert await session.commit() is None
    (info,) = (await Store(tmp_path).page()).sessions
    assert (info.id, info.cwd, info.additional, info.title) == (session.info.id, "/project", ("/other",), None)
    assert info.config == {"mode": "ask", "effort": "high"}


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


# Who has a session open


async def test_a_session_is_open_once(tmp_path: Path) -> None:
    store, other = Store(tmp_path), Store(tmp_path)
    session = store.create("/project")
    await session.commit()
    for attempt in (other.open(session.info.id), store.open(session.info.id), other.delete(session.info.id)):
        with pytest.raises(SessionInUseError, match="open already, in this process"):
            await attempt
    await session.close()
    reopened = await other.open(session.info.id)
    await reopened.close()
    assert not list((tmp_path / "locks").iterdir())


async def test_of_two_that_open_a_session_at_once_the_second_is_told_that_this_process_has_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session_id = await stored(store)
    first, second = await asyncio.gather(store.open(session_id), store.open(session_id), return_exceptions=True)
    assert isinstance(first, StoredSession)
    assert isinstance(second, SessionInUseError)
    assert "in this process; close it first" in str(second)
    await first.close()
    await (await store.open(session_id)).close()


async def test_who_waits_to_open_a_session_gets_it_once_the_first_has_given_up(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session_id = await stored(store)
    go_on = threading.Event()
    store.worker.submit(go_on.wait)
    first, second = (asyncio.create_task(store.open(session_id)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    go_on.set()
    assert (await second).info.id == session_id
    assert first.cancelled()


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Stop each opening in its midst: the first event says that it is there, the second lets it go on."""
    is_there, go_on = threading.Event(), threading.Event()
    entries = tables.entries

    def slow(*arguments: Any) -> Any:
        is_there.set()
        assert go_on.wait(30)
        return entries(*arguments)

    monkeypatch.setattr(tables, "entries", slow)
    yield is_there, go_on
    go_on.set()


async def test_an_opening_that_is_cancelled_in_its_midst_leaves_no_lock(
    opening: tuple[threading.Event, threading.Event], tmp_path: Path
) -> None:
    is_there, go_on = opening
    store = Store(tmp_path)
    session_id = await stored(store)
    task = asyncio.create_task(store.open(session_id))
    await asyncio.to_thread(is_there.wait, 30)
    assert list((tmp_path / "locks").iterdir())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert (await store.open(session_id)).info.id == session_id


def test_an_opening_that_the_end_of_the_loop_cancels_leaves_no_lock(
    opening: tuple[threading.Event, threading.Event], tmp_path: Path
) -> None:
    is_there, go_on = opening
    store = Store(tmp_path)
    tasks = []

    async def end_in_its_midst() -> None:
        tasks.append(asyncio.create_task(store.open(await stored(store))))
        await asyncio.to_thread(is_there.wait, 30)

    asyncio.run(end_in_its_midst())
    assert tasks[0].cancelled()
    assert list((tmp_path / "locks").iterdir())
    go_on.set()
    asyncio.run(settled(lambda: not list((tmp_path / "locks").iterdir())))


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


# Old sessions


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
