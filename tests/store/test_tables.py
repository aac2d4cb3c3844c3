"""What is in the database: which of it counts as use, and how much of it is kept."""

from __future__ import annotations

from pathlib import Path

from gptoss_acp.store import Store, Undo
from tests.support.store_process import message
from tests.support.stored_sessions import stored


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


async def test_file_changes_of_the_last_20_turns_come_back_but_for_those_taken_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    changes = [{"path": "/project/\udcff", "before": None, "after": "x" * 100}]
    for turn in range(23):
        session.add_undo(str(turn), changes)
        session.add_undo(str(turn), [])
    session.drop_undo("22")
    await session.close()
    kept = [str(turn) for turn in range(3, 22)]
    reopened = await store.open(session.info.id)
    assert await reopened.undos() == [undo for turn in kept for undo in (Undo(turn, changes), Undo(turn, []))]
