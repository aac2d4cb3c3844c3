"""Sessions that tests store, and what is read of them again.

Knows the store's door.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gptoss_acp.store import Store, tables


def title(text: str | None) -> dict[str, Any]:
    return {"sessionUpdate": "session_info_update", "title": text}


async def stored(store: Store, *updates: dict[str, Any], cwd: str = "/project") -> str:
    """Store a session, close it and return its id."""
    session = store.create(cwd)
    for update in updates:
        session.record(update)
    assert await session.close() is None
    return session.info.id


async def set_last_use(store: Store, session_id: str, days_ago: float) -> None:
    """Have a session last said something so many days ago."""

    def change() -> None:
        with store.worker.archive.database.transaction() as connection:
            then = tables.now() - int(days_ago * 24 * 3600 * 1e6)
            connection.execute("UPDATE sessions SET updated = ? WHERE id = ?", (then, session_id))

    await store.worker.run(change)


async def ids(store: Store) -> set[str]:
    return {info.id for info in (await store.page()).sessions}


def texts(updates: list[dict[str, Any]]) -> list[str]:
    return [update["content"]["text"] for update in updates if update["sessionUpdate"] == "agent_message_chunk"]


def big(number: int) -> dict[str, Any]:
    content = {"type": "text", "text": "x" * 50_000}
    return {"sessionUpdate": "user_message_chunk", "messageId": f"u{number}", "content": content}


def damage(file: Path) -> None:
    """Overwrite the start of a database."""
    with file.open("r+b") as content:
        content.write(b"garbage " * 64)
