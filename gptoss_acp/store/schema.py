"""The tables of the database, and how each version of them comes from the one before."""

from __future__ import annotations

MIGRATIONS = (
    (
        """CREATE TABLE sessions (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            cwd TEXT NOT NULL,
            additional BLOB NOT NULL,
            config BLOB NOT NULL,
            title TEXT,
            created INTEGER NOT NULL,
            updated INTEGER NOT NULL
        )""",
        "CREATE INDEX sessions_by_time ON sessions (updated)",
        "CREATE INDEX sessions_by_cwd ON sessions (cwd, updated)",
        """CREATE TABLE entries (
            session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
            number INTEGER NOT NULL,
            role TEXT NOT NULL,
            channel TEXT,
            recipient TEXT,
            content_type TEXT,
            complete INTEGER NOT NULL,
            tokens BLOB NOT NULL,
            text BLOB NOT NULL,
            PRIMARY KEY (session, number)
        )""",
        """CREATE TABLE updates (
            session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
            number INTEGER NOT NULL,
            call TEXT,
            body BLOB NOT NULL,
            PRIMARY KEY (session, number)
        )""",
        "CREATE UNIQUE INDEX updates_by_call ON updates (session, call) WHERE call IS NOT NULL",
        """CREATE TABLE states (
            number INTEGER PRIMARY KEY,
            session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
            name TEXT NOT NULL,
            body BLOB NOT NULL,
            UNIQUE (session, name)
        )""",
        """CREATE TABLE undos (
            number INTEGER PRIMARY KEY,
            session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
            turn TEXT NOT NULL,
            changes BLOB NOT NULL
        )""",
        "CREATE INDEX undos_by_session ON undos (session, number)",
    ),
)
"""The statements that lead from each version of the schema to the next; the file's `user_version` counts them.

`entries.tokens` are unsigned 32-bit integers, little endian; `undos.changes` is compressed. Blobs of JSON and text are
UTF-8, in which a file name's bytes that are no UTF-8 are kept as Python's surrogates.
"""
