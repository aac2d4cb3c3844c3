"""What a session says while it lives, one method a kind of update; what is to be replayed is noted before it is shown.

Knows when an update has which shape. Knows nothing about Harmony, so only what is handed to it can be shown.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Unpack

from gptoss_acp.protocol import shapes
from gptoss_acp.text import clip_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gptoss_acp.protocol.face import Face
    from gptoss_acp.protocol.shapes import Channel, CompactionStatus, ToolCallFields, ToolCallStatus, Update


_LONGEST_TITLE = 80
"""Characters of a notice's title, which must fit where little room is."""


class Updates:
    """The updates of one session; `note` is told each that `face` is shown, unless that is soon of no interest."""

    def __init__(self, face: Face, note: Callable[[Update], None]) -> None:
        self._face = face
        self._note = note

    def unnoted(self) -> Updates:
        """Return updates that are shown in the same place and not noted, for what is soon of no interest."""
        return Updates(self._face, lambda _: None)

    def message_chunk(self, message_id: str, text: str, channel: Channel | None = None) -> None:
        """Stream a piece of the agent's message `message_id`: an answer, what is said before one, or neither."""
        chunk: shapes.AgentMessageChunk = {
            "sessionUpdate": "agent_message_chunk",
            "messageId": message_id,
            "content": shapes.text(text),
        }
        if channel is not None:
            chunk["_meta"] = {shapes.OURS: {"channel": channel}}
        self._tell(chunk)

    def thought_chunk(self, message_id: str, text: str) -> None:
        """Stream a piece of what is said of the thought `message_id`: that there is one, what it took. Not noted."""
        self._face.update(
            {"sessionUpdate": "agent_thought_chunk", "messageId": message_id, "content": shapes.text(text)}
        )

    def notice(self, text: str) -> None:
        """Tell the user of something beside the conversation; where a client knows no notices, in a message of its own.

        A notice is not noted: it is of now, and no replay has it (ACP, session notices).
        """
        if self._face.capabilities.notices:
            self._face.update(_notice(text))
        else:
            # A paragraph, for some clients show one message right behind another.
            self.message_chunk(str(uuid.uuid4()), text + "\n\n")

    async def replay(self, updates: Iterable[Update]) -> None:
        """Show what was noted; compactions only to a client that knows them."""
        for update in updates:
            # A compaction that has not ended has changed nothing.
            if update["sessionUpdate"] != "compaction_update" or (
                self._shows_compaction and update["status"] != "in_progress"
            ):
                self._face.update(update)
            await self.drain()

    def title(self, title: str) -> None:
        """Say what the session is about."""
        self._tell({"sessionUpdate": "session_info_update", "title": title})

    def tool_call(
        self, identifier: str, title: str, kind: str, status: ToolCallStatus = "pending", name: str = ""
    ) -> None:
        """Say that a call of the tool `name` has begun; `pending` while its arguments are still to come."""
        call: shapes.ToolCall = {
            "sessionUpdate": "tool_call",
            "toolCallId": identifier,
            "title": title,
            "kind": kind,
            "status": status,
        }
        if name:
            call["name"] = name
        self._tell(call)

    def tool_call_update(self, identifier: str, **fields: Unpack[ToolCallFields]) -> None:
        """Say what has changed about a tool call, in ACP's own field names."""
        self._tell({"sessionUpdate": "tool_call_update", "toolCallId": identifier, **fields})

    def compaction(
        self, identifier: str, status: CompactionStatus, text: str = "", *, before: int = 0, after: int = 0
    ) -> None:
        """Show how a compaction stands; to a client that knows none, as a tool call.

        `text`: the summary where it is completed, the reason where it has failed. `before`, `after`: tokens.
        """
        if self._shows_compaction:
            self._tell(_compaction(identifier, status, text))
        elif status == "in_progress":
            self.tool_call(identifier, "Compacting the conversation", "think", status)
        else:
            told = f"{before:,} tokens before, {after:,} after.\n\n{text}"
            self.tool_call_update(
                identifier,
                status="completed" if status == "completed" else "failed",
                content=[shapes.text_content(told)],
                rawOutput={"tokensBefore": before, "tokensAfter": after},
            )

    def commands(self, commands: Sequence[shapes.AvailableCommand]) -> None:
        """Say which slash commands there are."""
        self._tell({"sessionUpdate": "available_commands_update", "availableCommands": commands})

    def plan(self, entries: Sequence[shapes.PlanEntry]) -> None:
        """Show a plan in place of the one before."""
        self._tell({"sessionUpdate": "plan", "entries": entries})

    def mode(self, mode: str) -> None:
        """Say that the session's mode is another, to clients that know legacy modes."""
        self._tell({"sessionUpdate": "current_mode_update", "currentModeId": mode})

    def config_options(self, options: Sequence[dict[str, Any]]) -> None:
        """Say what the config options are now."""
        self._tell({"sessionUpdate": "config_option_update", "configOptions": options})

    def usage(self, used: int, size: int) -> None:
        """Say how many tokens of the context are in use."""
        self._tell({"sessionUpdate": "usage_update", "used": used, "size": size})

    @property
    def congested(self) -> bool:
        """Whether the client does not read."""
        return self._face.congested

    async def drain(self) -> None:
        """Wait while the client does not read."""
        await self._face.drain()

    @property
    def _shows_compaction(self) -> bool:
        return self._face.capabilities.compaction

    def _tell(self, update: Update) -> None:
        self._note(update)
        self._face.update(update)


def _notice(text: str) -> shapes.Notice:
    update: shapes.Notice = {"sessionUpdate": "notice", "severity": "warning", "title": clip_line(text, _LONGEST_TITLE)}
    if update["title"] != text:
        update["description"] = text
    return update


def _compaction(identifier: str, status: CompactionStatus, text: str) -> shapes.Compaction:
    update: shapes.Compaction = {
        "sessionUpdate": "compaction_update",
        "compactionId": identifier,
        "status": status,
    }
    if status == "completed":
        update["summary"] = [shapes.text(text)]
    elif status == "failed":
        update["error"] = text
    return update
