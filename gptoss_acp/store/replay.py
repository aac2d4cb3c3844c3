"""What a replay sends: a session's live updates folded into fewer ones, which give a client the same view.

The text of a message is one update that grows, a tool call one in its latest state. Of what has no place in the
conversation (plan, title, usage) only the latest counts. Knows the shapes of ACP's `session/update`. Knows nothing
about where they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Update = Mapping[str, Any]
"""An update as JSON; what comes back from the disk is a `dict`."""

_CHUNKS = {"user_message_chunk", "agent_message_chunk"}
_CALLS = {"tool_call", "tool_call_update"}
_STATES = {"plan", "session_info_update", "usage_update"}
_PLANS = {"plan_update", "plan_removed"}
_NOT_KEPT = {
    # What a session is set to and what it offers is said by the process that loads it. Reasoning is kept nowhere.
    *("current_mode_update", "config_option_update", "available_commands_update"),
    "agent_thought_chunk",
}


def is_kept(update: Update) -> bool:
    return update["sessionUpdate"] not in _NOT_KEPT


def state(update: Update) -> str | None:
    """Return the name of the state that this update sets, None if it has its own place in the conversation."""
    kind: str = update["sessionUpdate"]
    if kind in _PLANS:
        return f"plan {_plan_id(update)}"
    return kind if kind in _STATES else None


def ends_state(update: Update) -> bool:
    return bool(update["sessionUpdate"] == "plan_removed")


def sets_title(update: Update) -> bool:
    return "title" in update and update["sessionUpdate"] == "session_info_update"


def title(update: Update) -> str | None:
    """Return the session's title, as an update that sets it says."""
    text: str | None = update["title"]
    return text


def call(update: Update) -> str | None:
    """Return the id of the tool call that this update is about; it changes that one wherever it stands."""
    return str(update["toolCallId"]) if update["sessionUpdate"] in _CALLS else None


def merge(earlier: Update, update: Update) -> Update | None:
    """Return `earlier` as `update` leaves it, None where they are two; neither is changed."""
    if state(update) is not None:
        if state(earlier) != state(update) or ends_state(update) or ends_state(earlier):
            return None
        return {**earlier, **update} if update["sessionUpdate"] == "session_info_update" else update
    if call(update) is not None:
        return _merge_calls(earlier, update) if call(earlier) == call(update) else None
    return join_texts(earlier, update)


def join_texts(earlier: Update, update: Update) -> Update | None:
    """Return two pieces of a message's text as one, None where they are something else."""
    frame = _but_text(update)
    if frame is None or frame != _but_text(earlier):
        return None
    text = earlier["content"]["text"] + update["content"]["text"]
    return {**earlier, "content": {**earlier["content"], "text": text}}


def replayed(update: dict[str, Any]) -> dict[str, Any]:
    """Return what is sent for a kept update in a later process, where no terminal exists and no call runs any more."""
    if call(update) is None:
        return update
    sent = dict(update)
    if sent.get("status") not in {"completed", "failed"}:
        sent["status"] = "failed"
    if sent.get("content"):
        sent["content"] = [piece for item in sent["content"] for piece in _lasting(item, sent.get("rawOutput"))]
    return sent


def _merge_calls(earlier: Update, update: Update) -> Update:
    if update["sessionUpdate"] == "tool_call":
        return update
    changed = {name: value for name, value in update.items() if value is not None}
    return {**earlier, **changed, "sessionUpdate": earlier["sessionUpdate"]}


def _but_text(update: Update) -> Update | None:
    """Return a chunk of text without its text, None for every other update."""
    if update["sessionUpdate"] not in _CHUNKS or update["content"]["type"] != "text":
        return None
    return {**update, "content": {**update["content"], "text": ""}}


def _lasting(item: Mapping[str, Any], output: Any) -> list[Mapping[str, Any]]:
    """Return what stays of a tool call's content: of a terminal what it had shown, if the call's output says so."""
    if item.get("type") != "terminal":
        return [item]
    text = output.get("output") if isinstance(output, dict) else None
    return [{"type": "content", "content": {"type": "text", "text": text}}] if isinstance(text, str) and text else []


def _plan_id(update: Update) -> str:
    return str(update["planId"] if ends_state(update) else update["plan"]["planId"])
