"""`gptoss-acp sessions`: what a person does with stored sessions.

Imported at every start, so it imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gptoss_acp.store.archive import Archive
    from gptoss_acp.store.tables import Info


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", help="without one: list")
    actions.add_parser("list", help="list the sessions, newest first")
    show = actions.add_parser("show", help="show what a session is")
    export = actions.add_parser("export", help="write a session's conversation to stdout")
    export.add_argument("--format", choices=("md", "json"), default="md", help="Markdown (the default) or JSON")
    delete = actions.add_parser("delete", help="delete sessions")
    for action, count in ((show, None), (export, None), (delete, "+")):
        action.add_argument("id", nargs=count, help="a session's id, or how it begins")


def run(given: argparse.Namespace) -> None:
    """Do what was asked for; a failure ends the program with code 1 and a message."""
    from gptoss_acp.store.archive import Archive
    from gptoss_acp.store.failures import StoreError

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # so that `| head` works
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    archive = Archive()
    try:
        match given.action:
            case "show":
                _show(archive, _the_one(archive, given.id))
            case "export":
                _export(archive, _the_one(archive, given.id), given.format)
            case "delete":
                for session_id in [_the_one(archive, prefix) for prefix in given.id]:
                    archive.delete(session_id)
                    print(f"deleted {session_id}")
            case _:
                _list(archive)
    except StoreError as error:
        sys.exit(f"gptoss-acp: {error}")


def _list(archive: Archive) -> None:
    page = archive.page()
    if not page.sessions:
        print(f"no sessions in {archive.database.folder}")
    while True:
        for info in page.sessions:
            print(f"{info.id[:8]}  {_when(info.updated)}  {_line(info.title or '-', 60)}  {_line(info.cwd, 200)}")
        if page.cursor is None:
            return
        page = archive.page(cursor=page.cursor)


def _show(archive: Archive, session_id: str) -> None:
    from gptoss_acp.store import tables

    info = archive.info(session_id)
    entries, tokens = archive.read(session_id, tables.count)
    facts = {
        "session": info.id,
        "title": info.title or "-",
        "folders": ", ".join((info.cwd, *info.additional)),
        "begun": _when(info.created),
        "last used": _when(info.updated),
        "options": ", ".join(f"{name} {value}" for name, value in info.config.items()) or "-",
        "context": f"{entries} messages, {tokens} tokens",
    }
    for name, fact in facts.items():
        print(f"{name:10} {_line(fact, 1000)}")


def _export(archive: Archive, session_id: str, form: str) -> None:
    from gptoss_acp.cli import markdown

    info, updates = archive.info(session_id), archive.updates(session_id)
    if form == "json":
        print(json.dumps({**_described(info), "updates": updates}, ensure_ascii=False, indent=1))
    else:
        print(markdown.document(info, updates), end="")


def _described(info: Info) -> dict[str, Any]:
    from gptoss_acp.store.tables import as_time

    return {
        "sessionId": info.id,
        "cwd": info.cwd,
        "additionalDirectories": info.additional,
        "title": info.title,
        "createdAt": as_time(info.created).isoformat(),
        "updatedAt": as_time(info.updated).isoformat(),
        "config": info.config,
    }


def _the_one(archive: Archive, prefix: str) -> str:
    """Return the id that begins with `prefix`.

    Raises:
        StoreError: there is none, or more than one.
    """
    from gptoss_acp.store.failures import StoreError

    ids = archive.matching(prefix)
    if len(ids) == 1:
        return ids[0]
    problem = f"{len(ids)} sessions begin" if ids else "no session begins"
    raise StoreError(f"{problem} with {prefix}; `gptoss-acp sessions` lists them")


def _when(microseconds: int) -> str:
    from gptoss_acp.store.tables import as_time

    return f"{as_time(microseconds).astimezone():%Y-%m-%d %H:%M}"


def _line(text: str, limit: int) -> str:
    """Return `text` in one line without control characters, which a terminal would obey."""
    line = "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
