"""A session as a Markdown document, from the updates that a replay sends.

Knows the shapes of ACP's updates. Knows nothing about where they are kept.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from gptoss_acp.store.replay import Update
from gptoss_acp.store.tables import Info, as_time

_SPEAKERS = {"user_message_chunk": "User", "agent_message_chunk": "Agent"}
_MARKS = {"completed": "x", "in_progress": "~"}


def document(info: Info, updates: list[Update]) -> str:
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


def _body(updates: list[Update]) -> Iterator[str]:
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
            yield "\n".join(f"- [{_MARKS.get(entry['status'], ' ')}] {entry['content']}" for entry in update["entries"])


def _piece(piece: dict[str, Any]) -> str:
    """Return a piece of a tool call's content."""
    if piece["type"] == "diff":
        old, new = (piece.get("oldText") or ""), piece["newText"]
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), piece["path"], piece["path"], lineterm="")
        return _fenced("\n".join(lines), "diff")
    content = piece.get("content", {})
    return _fenced(content["text"]) if content.get("type") == "text" else _block(content)


def _block(content: dict[str, Any]) -> str:
    """Return a content block: text as it is, embedded text fenced, anything else by its name."""
    match content:
        case {"type": "text", "text": text}:
            return str(text)
        case {"type": "resource_link", "name": name, "uri": uri}:
            return f"[{name}]({uri})"
        case {"type": "resource", "resource": {"uri": uri, "text": text}}:
            return f"{uri}\n\n{_fenced(text)}"
    return f"({content.get('type')})"


def _fenced(text: str, language: str = "") -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
