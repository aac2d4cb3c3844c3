"""The file of all sessions: only the user's, and set aside when it is damaged."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.store import Store, StoreError, database
from tests.support.store_process import message
from tests.support.stored_sessions import damage


async def test_only_the_user_can_read_what_is_stored(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "sessions"
    session = Store(folder).create("/project")
    await session.commit()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert modes.pop("sessions") == modes.pop("locks") == 0o700
    assert "sessions.db-wal" in modes
    assert set(modes.values()) == {0o600}


def overwrite_middle(file: Path) -> None:
    with file.open("r+b") as content:
        content.seek(4096)
        content.write(os.urandom(file.stat().st_size - 4096))


def cut_off(file: Path) -> None:
    os.truncate(file, 4096)


@pytest.mark.parametrize("spoil", [damage, overwrite_middle, cut_off])
async def test_a_damaged_database_is_set_aside_and_a_new_one_started(spoil: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = store.create("/project")
    session.record(message(1))
    await store.close()
    file = tmp_path / database.FILE
    spoil(file)
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


async def test_a_value_that_can_not_be_stored_is_no_fault_of_the_folder(tmp_path: Path) -> None:
    database = Store(tmp_path).worker.archive.database

    def write() -> None:
        with database.transaction() as connection:
            connection.execute("CREATE TABLE half (name)")
            connection.execute("INSERT INTO half VALUES (?)", ({},))

    with pytest.raises(sqlite3.Error):
        write()
    with database.transaction() as connection:
        assert ("half",) not in connection.execute("SELECT name FROM sqlite_schema").fetchall()
