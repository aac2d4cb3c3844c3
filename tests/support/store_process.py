"""A process that uses the store, to be killed: `python -m tests.support.store_process write|hold FOLDER ...`.

It says on stdout what is done, a line each, once it is.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from gptoss_acp.ledger import Entry
from gptoss_acp.store import Store


def message(number: int) -> dict[str, Any]:
    content = {"type": "text", "text": f"message {number}"}
    return {"sessionUpdate": "agent_message_chunk", "messageId": f"m{number}", "content": content}


def call(number: int) -> list[dict[str, Any]]:
    start = {"sessionUpdate": "tool_call", "toolCallId": f"c{number}", "title": "Run", "kind": "execute"}
    end = {"sessionUpdate": "tool_call_update", "toolCallId": f"c{number}", "status": "completed"}
    return [{**start, "status": "pending"}, {**end, "rawOutput": {"output": "x" * number}}]


def entry(number: int) -> Entry:
    return Entry("user", tuple(range(number + 1)), f"entry {number}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def write(folder: Path, count: int) -> None:
    """Take `count` steps, each with a message, a tool call, an entry and a file change."""
    session = Store(folder).create("/project")
    say(session.info.id)
    entries: list[Entry] = []
    for number in range(count):
        session.record(message(number))
        for update in call(number):
            session.record(update)
        entries.append(entry(number))
        session.keep(entries)
        session.add_undo(str(number), [{"path": "/project/file", "before": None, "after": str(number)}])
        assert await session.commit() is None
        say(str(number))


async def hold(folder: Path, session_id: str) -> None:
    """Open a session and keep it open."""
    await Store(folder).open(session_id)
    say("open")
    time.sleep(600)  # noqa: ASYNC251, until it is killed


if __name__ == "__main__":
    action, folder, argument = sys.argv[1:]
    asyncio.run(write(Path(folder), int(argument)) if action == "write" else hold(Path(folder), argument))
