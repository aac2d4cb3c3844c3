"""What is in the database: sessions, their ledger entries, the updates a replay sends, and file changes to undo.

Functions on an open transaction. Times are microseconds since 1970. Knows nothing about files, threads or processes.
"""

from __future__ import annotations

import json
import re
import struct
import time
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gptoss_acp.store import replay
from gptoss_acp.store.failures import CursorError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from gptoss_acp.ledger import Entry
    from gptoss_acp.store.replay import Update

PAGE = 50
UNDO_TURNS = 20
"""Turns of a session whose file changes are kept; they hold whole files."""


def now() -> int:
    return time.time_ns() // 1000


def as_time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


@dataclass(frozen=True, slots=True)
class Info:
    """What is known of a session without reading it; `config` is JSON, `updated` is when it last said something."""

    id: str
    cwd: str
    additional: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    title: str | None = None
    created: int = field(default_factory=now)
    updated: int = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Undo:
    """What some of a turn's file changes were, as JSON."""

    turn: str
    changes: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list of sessions, newest first; `cursor` leads to the next part."""

    sessions: list[Info]
    cursor: str | None


# Sessions

_COLUMNS = "id, cwd, additional, config, title, created, updated"


def number(connection: sqlite3.Connection, session_id: str) -> int | None:
    """Return by which number the other functions know a session, None where there is no such session."""
    row = connection.execute("SELECT number FROM sessions WHERE id = ?", (session_id,)).fetchone()
    return row and int(row[0])


def info(connection: sqlite3.Connection, session: int) -> Info:
    return _info(connection.execute(f"SELECT {_COLUMNS} FROM sessions WHERE number = ?", (session,)).fetchone())


def insert(connection: sqlite3.Connection, new: Info) -> int:
    values = (new.id, new.cwd, _json(new.additional), _json(new.config), new.title, new.created, new.updated)
    cursor = connection.execute(f"INSERT INTO sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def change(connection: sqlite3.Connection, session: int, changed: Info) -> None:
    """Keep a session's other folders and configuration."""
    values = (changed.cwd, _json(changed.additional), _json(changed.config), session)
    connection.execute("UPDATE sessions SET cwd = ?, additional = ?, config = ? WHERE number = ?", values)


def copy(connection: sqlite3.Connection, source: int, new: Info) -> None:
    """Insert `new` with the entries and updates of `source`. Its file changes are not the copy's to undo."""
    copied = insert(connection, new)
    for table, columns in {
        "entries": "number, role, channel, recipient, content_type, complete, tokens, text",
        "updates": "number, call, body",
        "states": "name, body",
    }.items():
        rows = f"SELECT ?, {columns} FROM {table} WHERE session = ? ORDER BY number"
        connection.execute(f"INSERT INTO {table} (session, {columns}) {rows}", (copied, source))


def delete(connection: sqlite3.Connection, session: int, if_older_than: int | None = None) -> None:
    query = "DELETE FROM sessions WHERE number = ?1 AND (?2 IS NULL OR updated < ?2)"
    connection.execute(query, (session, if_older_than))


def page(connection: sqlite3.Connection, cwd: str | None = None, cursor: str | None = None) -> Page:
    """Return the sessions of a folder, or of all, that follow `cursor`.

    A page begins after the last session of the one before, so one that is added meanwhile moves none.

    Raises:
        CursorError: the cursor is none.
    """
    conditions: list[str] = []
    values: list[str | int] = []
    if cwd is not None:
        conditions.append("cwd = ?")
        values.append(cwd)
    if cursor is not None:
        conditions.append("(updated, number) < (?, ?)")
        values += _position(cursor)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = connection.execute(
        f"SELECT {_COLUMNS}, number FROM sessions {where} ORDER BY updated DESC, number DESC LIMIT ?",
        (*values, PAGE + 1),
    ).fetchall()
    following = f"{rows[PAGE - 1][6]}.{rows[PAGE - 1][7]}" if len(rows) > PAGE else None
    return Page([_info(row[:7]) for row in rows[:PAGE]], following)


def matching(connection: sqlite3.Connection, prefix: str) -> list[str]:
    """Return the ids that begin with `prefix`."""
    rows = connection.execute("SELECT id FROM sessions WHERE substr(id, 1, ?) = ?", (len(prefix), prefix))
    return [row[0] for row in rows]


def older(connection: sqlite3.Connection, than: int) -> list[str]:
    """Return the ids of the sessions that have said nothing since a time."""
    return [row[0] for row in connection.execute("SELECT id FROM sessions WHERE updated < ?", (than,))]


# The ledger


def put_entries(connection: sqlite3.Connection, session: int, start: int, entries: Iterable[Entry]) -> None:
    """Put `entries` in place of all from number `start` on."""
    connection.execute("DELETE FROM entries WHERE session = ? AND number >= ?", (session, start))
    connection.executemany(
        "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((session, start + index, *_row(entry)) for index, entry in enumerate(entries)),
    )


def entries(connection: sqlite3.Connection, session: int) -> list[Entry]:
    from gptoss_acp.ledger import Entry  # noqa: PLC0415, sessions are listed without the vocabulary

    rows = connection.execute(
        "SELECT role, tokens, text, channel, recipient, content_type, complete FROM entries "
        "WHERE session = ? ORDER BY number",
        (session,),
    )
    return [
        Entry(role, _unpack(tokens), _text(text), channel, recipient, content_type, bool(complete))
        for role, tokens, text, channel, recipient, content_type, complete in rows
    ]


def size(connection: sqlite3.Connection, session: int) -> tuple[int, int]:
    """Return how many entries a session has, and how many tokens."""
    row = connection.execute(
        "SELECT count(*), total(length(tokens)) FROM entries WHERE session = ?", (session,)
    ).fetchone()
    return int(row[0]), int(row[1]) // 4


# The updates


def add_updates(connection: sqlite3.Connection, session: int, updates: Iterable[Update]) -> None:
    """Fold live updates into those that are kept."""
    said = False
    for update in updates:
        if not replay.is_kept(update):
            continue
        if (name := replay.state(update)) is not None:
            _set_state(connection, session, name, update)
        else:
            _place(connection, session, update)
            said = True
    if said:
        connection.execute("UPDATE sessions SET updated = ? WHERE number = ?", (now(), session))


def updates(connection: sqlite3.Connection, session: int) -> list[dict[str, Any]]:
    """Return the updates that a replay sends, in order."""
    placed = connection.execute("SELECT body FROM updates WHERE session = ? ORDER BY number", (session,))
    states = connection.execute("SELECT body FROM states WHERE session = ? ORDER BY number", (session,))
    return [replay.replayed(_value(body)) for rows in (placed, states) for (body,) in rows]


def _place(connection: sqlite3.Connection, session: int, update: Update) -> None:
    identifier = replay.call(update)
    query = "SELECT number, body FROM updates WHERE session = ?"
    if identifier is None:
        row = connection.execute(f"{query} ORDER BY number DESC LIMIT 1", (session,)).fetchone()
    else:
        row = connection.execute(f"{query} AND call = ?", (session, identifier)).fetchone()
    merged = replay.merge(_value(row[1]), update) if row else None
    if merged is not None:
        query = "UPDATE updates SET body = ? WHERE session = ? AND number = ?"
        connection.execute(query, (_json(merged), session, row[0]))
        return
    connection.execute(
        "INSERT INTO updates SELECT ?, coalesce(max(number), 0) + 1, ?, ? FROM updates WHERE session = ?",
        (session, identifier, _json(update), session),
    )


def _set_state(connection: sqlite3.Connection, session: int, name: str, update: Update) -> None:
    if replay.ends_state(update):
        connection.execute("DELETE FROM states WHERE session = ? AND name = ?", (session, name))
        return
    row = connection.execute("SELECT body FROM states WHERE session = ? AND name = ?", (session, name)).fetchone()
    merged = (replay.merge(_value(row[0]), update) if row else None) or update
    connection.execute(
        "INSERT INTO states (session, name, body) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
        (session, name, _json(merged)),
    )
    if replay.sets_title(update):
        connection.execute("UPDATE sessions SET title = ? WHERE number = ?", (replay.title(update), session))


# File changes to undo


def add_undo(connection: sqlite3.Connection, session: int, undo: Undo) -> None:
    values = (session, undo.turn, zlib.compress(_json(undo.changes)))
    connection.execute("INSERT INTO undos (session, turn, changes) VALUES (?, ?, ?)", values)
    connection.execute(
        "DELETE FROM undos WHERE session = ?1 AND turn NOT IN "
        "(SELECT turn FROM undos WHERE session = ?1 GROUP BY turn ORDER BY max(number) DESC LIMIT ?2)",
        (session, UNDO_TURNS),
    )


def drop_undos(connection: sqlite3.Connection, session: int, turn: str) -> None:
    connection.execute("DELETE FROM undos WHERE session = ? AND turn = ?", (session, turn))


def undos(connection: sqlite3.Connection, session: int) -> list[Undo]:
    """Return the file changes of the last turns, the oldest first."""
    rows = connection.execute("SELECT turn, changes FROM undos WHERE session = ? ORDER BY number", (session,))
    return [Undo(turn, _value(zlib.decompress(changes))) for turn, changes in rows]


# Values


def _info(row: tuple[Any, ...]) -> Info:
    session_id, cwd, additional, config, title, created, updated = row
    return Info(session_id, cwd, tuple(_value(additional)), _value(config), title, created, updated)


def _position(cursor: str) -> list[int]:
    if not re.fullmatch(r"\d{1,18}\.\d{1,18}", cursor, re.ASCII):
        raise CursorError(cursor)
    return [int(part) for part in cursor.split(".")]


def _row(entry: Entry) -> tuple[Any, ...]:
    tokens = struct.pack(f"<{len(entry.tokens)}I", *entry.tokens)
    described = (entry.role, entry.channel, entry.recipient, entry.content_type, entry.complete)
    return *described, tokens, entry.text.encode("utf-8", "surrogatepass")


def _unpack(tokens: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(tokens) // 4}I", tokens)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "surrogatepass")


def _value(content: bytes) -> Any:
    return json.loads(_text(content))
