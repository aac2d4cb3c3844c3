"""`gptoss-acp sessions`: what a person does with stored sessions, as lines in a terminal or as a Markdown document.

Knows the store, and the shapes of the updates that a replay sends.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from gptoss_acp.store import Archive, Info, StoreError, Update, as_time
from gptoss_acp.text import clip_line, fenced, unified_diff, visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from gptoss_acp.settings import Settings

_SPEAKERS = {"user_message_chunk": "User", "agent_message_chunk": "Agent"}
_MARKS = {"completed": "x", "in_progress": "~"}


def run(_: Settings, given: argparse.Namespace) -> None:
    """Do what was asked for; a failure ends the program with code 1 and a message."""
    archive = Archive()
    try:
        match given.action:
            case "show":
                _show(archive, archive.the_one(given.id))
            case "export":
                _export(archive, archive.the_one(given.id), given.format)
            case "delete":
                for session_id in [archive.the_one(prefix) for prefix in given.id]:
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
    info = archive.info(session_id)
    entries, tokens = archive.size(session_id)
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
    info, updates = archive.info(session_id), archive.updates(session_id)
    if form == "json":
        print(json.dumps({**_described(info), "updates": updates}, ensure_ascii=False, indent=1))
    else:
        whole = document(info, updates)
        print(visible(whole) if sys.stdout.isatty() else whole, end="")


def _described(info: Info) -> dict[str, Any]:
    return {
        "sessionId": info.id,
        "cwd": info.cwd,
        "additionalDirectories": info.additional,
        "title": info.title,
        "createdAt": as_time(info.created).isoformat(),
        "updatedAt": as_time(info.updated).isoformat(),
        "config": info.config,
    }


def _when(microseconds: int) -> str:
    return f"{as_time(microseconds).astimezone():%Y-%m-%d %H:%M}"


def _line(text: str, limit: int) -> str:
    """Return `text` in one line, without what a terminal would obey."""
    return clip_line(visible(text), limit)


def document(info: Info, updates: Sequence[Update]) -> str:
    """Return the whole conversation, with its tool calls, diffs and plan."""
    return "\n\n".join([*_head(info), *_body(updates)]) + "\n"


def _head(info: Info) -> Iterator[str]:
    yield f"# {info.title or 'Session'}"
    facts = {
        "Session": info.id,
        "Folders": ", ".join([info.cwd, *info.additional]),
        "Begun": f"{as_time(info.created):%Y-%m-%d %H:%M} UTC",
        "Last used": f"{as_time(info.updated):%Y-%m-%d %H:%M} UTC",
    }
    yield "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def _body(updates: Sequence[Update]) -> Iterator[str]:
    speaker = None
    for update in updates:
        kind = update["sessionUpdate"]
        if kind in _SPEAKERS:
            if speaker != _SPEAKERS[kind]:
                speaker = _SPEAKERS[kind]
                yield f"## {speaker}"
            yield _block(update["content"])
        elif kind in {"tool_call", "tool_call_update"}:
            speaker = "Agent"
            yield f"### {' '.join(update.get('title', 'Tool call').split())} ({update['status']})"
            yield from map(_piece, update.get("content") or ())
        elif kind == "plan":
            yield "## Plan"
            yield "\n".join(f"- {planned(entry)}" for entry in update["entries"])


def planned(entry: Mapping[str, Any]) -> str:
    """Return an entry of a plan behind a box, which is ticked once it is done."""
    return f"[{_MARKS.get(entry['status'], ' ')}] {entry['content']}"


def _piece(piece: Mapping[str, Any]) -> str:
    """Return a piece of a tool call's content."""
    if piece["type"] == "diff":
        return fenced("\n".join(unified_diff(piece["path"], piece.get("oldText") or "", piece["newText"])), "diff")
    content = piece.get("content", {})
    return fenced(content["text"]) if content.get("type") == "text" else _block(content)


def _block(content: Mapping[str, Any]) -> str:
    """Return a content block: text as it is, embedded text fenced, anything else by its name."""
    match content:
        case {"type": "text", "text": text}:
            return str(text)
        case {"type": "resource_link", "name": name, "uri": uri}:
            return f"[{name}]({uri})"
        case {"type": "resource", "resource": {"uri": uri, "text": text}}:
            return f"{uri}\n\n{fenced(text)}"
    return f"({content.get('type')})"
