"""What a client shows for a stream of `session/update`s: its reading of ACP, written independently of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CHUNKS = ("user_message_chunk", "agent_message_chunk", "agent_thought_chunk")


@dataclass
class View:
    """The conversation in order, and beside it what has only a latest state."""

    items: list[dict[str, Any]] = field(default_factory=list)
    plans: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] | None = None

    def show(self, update: dict[str, Any]) -> None:
        kind, fields = update["sessionUpdate"], {key: value for key, value in update.items() if key != "sessionUpdate"}
        if kind in CHUNKS:
            self._show_chunk(kind, fields)
        elif kind == "tool_call":
            self._show_call(fields)
        elif kind == "tool_call_update":
            self._call(fields["toolCallId"]).update({key: value for key, value in fields.items() if value is not None})
        elif kind == "plan":
            self.plans[""] = fields
        elif kind == "plan_update":
            self.plans[fields["plan"]["planId"]] = fields
        elif kind == "plan_removed":
            del self.plans[fields["planId"]]
        elif kind == "session_info_update":
            self.info.update(fields)
        elif kind == "usage_update":
            self.usage = fields

    def _show_chunk(self, kind: str, fields: dict[str, Any]) -> None:
        content = fields.pop("content")
        last = self.items[-1] if self.items else {}
        if last.get("kind") != kind or last["messageId"] != fields.get("messageId"):
            last = {"kind": kind, "messageId": fields.get("messageId"), "blocks": []}
            self.items.append(last)
        frame = {**fields, **content, "text": None}
        blocks = last["blocks"]
        if content["type"] == "text" and blocks and blocks[-1][0] == frame:
            blocks[-1][1] += content["text"]
        else:
            blocks.append([frame, content.get("text")])

    def _show_call(self, fields: dict[str, Any]) -> None:
        for item in self.items:
            if item.get("toolCallId") == fields["toolCallId"]:
                item.clear()
                item.update(fields)
                return
        self.items.append(dict(fields))

    def _call(self, identifier: str) -> dict[str, Any]:
        return next(item for item in self.items if item.get("toolCallId") == identifier)

    def unfinished(self) -> list[str]:
        """Return the ids of the calls that have not ended."""
        calls = [item for item in self.items if "toolCallId" in item]
        return [call["toolCallId"] for call in calls if call.get("status") not in {"completed", "failed"}]


def view(updates: list[dict[str, Any]]) -> View:
    shown = View()
    for update in updates:
        shown.show(update)
    return shown
