"""What stored sessions cost among many others: the first page of the list, loading a long session, a commit.

Fills a database in a temporary folder, then takes medians, each with a fresh connection as a new process has it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmark.figures import BenchError, Figure, table

from gptoss_acp.ledger import Entry, Role
from gptoss_acp.store import Archive, Info, Store, tables

LONG = 500
"""Messages of the session that is loaded."""

_ROLES: tuple[Role, ...] = ("user", "assistant", "tool")

_WORDS = ["read", "the", "file", "and", "change", "a", "line", "because", "one", "test", "fails"]


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        started = time.perf_counter()
        fill(Path(folder), arguments.sessions, arguments.messages)
        size = sum(file.stat().st_size for file in Path(folder).glob("*.db*"))
        filled = f"{arguments.sessions:,} sessions of {arguments.messages} messages: {size / 1e6:,.0f} MB"
        print(f"{filled}, written in {time.perf_counter() - started:.0f} s", flush=True)
        figures = measure(Path(folder), arguments.runs)
    print(f"\n{table(figures)}")
    if arguments.check and not all(figure.met for figure in figures):
        sys.exit(1)


def fill(folder: Path, sessions: int, messages: int) -> None:
    """Write sessions, and a long one in their midst, a hundred in each transaction."""
    generator = random.Random(1)
    database = Archive(folder).database
    for start in range(0, sessions, 100):
        with database.transaction() as connection:
            for number in range(start, min(start + 100, sessions)):
                _write(connection, f"{number:08x}", messages, generator)
            if start <= sessions // 2 < start + 100:
                _write(connection, "long", LONG, generator)
    database.close()


def measure(folder: Path, runs: int) -> list[Figure]:
    listing = [_page(folder, None) for _ in range(runs)]
    by_folder = [_page(folder, "/projects/7") for _ in range(runs)]
    loading = [asyncio.run(_load(folder)) for _ in range(runs)]
    commits = asyncio.run(_commits(folder, 10 * runs))
    return [
        Figure("session/list, first page", median(listing), 50, "ms", detail=_worst(listing)),
        Figure("the same, of one folder", median(by_folder), 50, "ms", detail=_worst(by_folder)),
        Figure(f"session/load, {LONG} messages", median(loading), 300, "ms", detail=_worst(loading)),
        Figure("commit of a message, flushed to the disk", median(commits), None, "ms", detail=_worst(commits)),
    ]


def _page(folder: Path, cwd: str | None) -> float:
    archive = Archive(folder)
    started = time.perf_counter()
    archive.page(cwd)
    taken = _milliseconds_since(started)
    archive.database.close()
    return taken


async def _load(folder: Path) -> float:
    store = Store(folder)
    started = time.perf_counter()
    session = await store.open("long")
    updates = await session.updates()
    taken = _milliseconds_since(started)
    if (len(session.entries), len(updates)) != (LONG, LONG):
        raise BenchError(f"loaded {len(session.entries)} entries and {len(updates)} updates, not {LONG}")
    await store.close()
    return taken


async def _commits(folder: Path, count: int) -> list[float]:
    store = Store(folder)
    session = store.create("/projects/0")
    await session.commit()
    taken = []
    entries: list[Entry] = []
    for entry, update in _messages(count, random.Random(2)):
        started = time.perf_counter()
        entries.append(entry)
        session.record(update)
        session.keep(entries)
        problem = await session.commit()
        taken.append(_milliseconds_since(started))
        if problem:
            raise BenchError(problem)
    await store.close()
    return taken


def _milliseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _write(connection: Any, session_id: str, messages: int, generator: random.Random) -> None:
    info = Info(session_id, f"/projects/{generator.randrange(100)}", title=_text(generator, 8))
    number = tables.insert(connection, info)
    pairs = list(_messages(messages, generator))
    tables.put_entries(connection, number, 0, [entry for entry, _ in pairs])
    tables.add_updates(connection, number, [update for _, update in pairs])


def _messages(count: int, generator: random.Random) -> Iterator[tuple[Entry, dict[str, Any]]]:
    """Yield messages as a conversation has them: a prompt, an answer, a tool call with a result, in turns."""
    for number in range(count):
        text = _text(generator, generator.randrange(20, 200))
        role = _ROLES[number % 3]
        tokens = tuple(generator.choices(range(200_000), k=len(text.split())))
        if role == "tool":
            call = {"sessionUpdate": "tool_call", "toolCallId": f"call-{number}", "title": text[:60], "kind": "execute"}
            content = [{"type": "content", "content": {"type": "text", "text": text}}]
            update: dict[str, Any] = {**call, "status": "completed", "content": content, "rawOutput": {"output": text}}
        else:
            kind = "user_message_chunk" if role == "user" else "agent_message_chunk"
            block = {"type": "text", "text": text}
            update = {"sessionUpdate": kind, "messageId": f"message-{number}", "content": block}
        yield Entry(role, tokens, text, None if role == "user" else "final"), update


def _text(generator: random.Random, words: int) -> str:
    return " ".join(generator.choices(_WORDS, k=words))


def _worst(taken: list[float]) -> str:
    return f"worst of {len(taken)}: {max(taken):.3g} ms"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench_store", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=10_000, help="how many there are (default: 10000)")
    parser.add_argument("--messages", type=int, default=50, help="of each (default: 50)")
    parser.add_argument("--runs", type=int, default=20, help="repetitions of each measurement (default: 20)")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made: the disk to measure")
    parser.add_argument("--check", action="store_true", help="exit with code 1 if a target is missed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
