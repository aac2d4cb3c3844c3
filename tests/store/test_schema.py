"""Files of other versions: older ones are brought up to date as a whole or not at all, newer ones left alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gptoss_acp.store import Store, StoreError, database, schema
from tests.support.store_process import message
from tests.support.stored_sessions import ids, stored


def version(folder: Path) -> int:
    connection = sqlite3.connect(folder / database.FILE)
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(number)


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
