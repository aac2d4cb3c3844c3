"""What a client is told while a turn runs: ACP's `session/update` notifications of one session.

Knows the shape of updates. Knows nothing about Harmony, so only what is handed to it can be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from gptoss_acp.rpc import Connection

METHOD = "session/update"

Update = dict[str, Any]
CompactionStatus = Literal["in_progress", "completed", "failed", "cancelled"]


class Updates:
    """The updates of one session.

    `record` notes each that is sent. `shows_compaction`: the client has declared ACP's draft `compaction_update`.
    """

    def __init__(
        self,
        connection: Connection,
        session_id: str,
        record: Callable[[Update], None],
        *,
        shows_compaction: bool = False,
    ) -> None:
        self._connection = connection
        self._session_id = session_id
        self._record = record
        self._shows_compaction = shows_compaction

    def message_chunk(self, message_id: str, text: str) -> None:
        """Stream a piece of the agent's message `message_id`."""
        content = {"type": "text", "text": text}
        update = {"sessionUpdate": "agent_message_chunk", "messageId": message_id, "content": content}
        self._record(update)
        self._send_text(update)

    async def replay(self, updates: Sequence[Update]) -> None:
        """Send what was recorded; drafts only to a client that knows them."""
        for update in updates:
            match update["sessionUpdate"]:
                case "user_message_chunk" | "agent_message_chunk" if update["content"]["type"] == "text":
                    self._send_text(update)
                case "compaction_update":
                    # One that has not ended has changed nothing.
                    if self._shows_compaction and update["status"] != "in_progress":
                        self._send(update)
                case _:
                    self._send(update)
            await self.drain()

    def title(self, title: str) -> None:
        """Say what the session is about."""
        self._tell({"sessionUpdate": "session_info_update", "title": title})

    def tool_call(self, identifier: str, title: str, kind: str, status: str = "pending") -> None:
        """Say that a tool call has begun; `pending` while its arguments are still to come."""
        update = {"sessionUpdate": "tool_call", "toolCallId": identifier, "title": title, "kind": kind}
        self._tell({**update, "status": status})

    def tool_call_update(self, identifier: str, **fields: Any) -> None:
        """Say what has changed about a tool call, in ACP's own field names."""
        self._tell({"sessionUpdate": "tool_call_update", "toolCallId": identifier, **fields})

    def compaction(
        self, identifier: str, status: CompactionStatus, text: str = "", *, before: int = 0, after: int = 0
    ) -> None:
        """Show how a compaction stands; to a client that knows none, as a tool call.

        `text`: the summary where it is completed, the reason where it has failed. `before`, `after`: tokens.
        """
        if self._shows_compaction:
            update: Update = {"sessionUpdate": "compaction_update", "compactionId": identifier}
            if status == "completed":
                update["summary"] = [{"type": "text", "text": text}]
            elif status == "failed":
                update["error"] = text
            self._tell({**update, "status": status})
        elif status == "in_progress":
            self.tool_call(identifier, "Compacting the conversation", "think", status)
        else:
            told = f"{before:,} tokens before, {after:,} after.\n\n{text}"
            self.tool_call_update(
                identifier,
                status="completed" if status == "completed" else "failed",
                content=[text_content(told)],
                rawOutput={"tokensBefore": before, "tokensAfter": after},
            )

    def commands(self, commands: Sequence[dict[str, Any]]) -> None:
        """Say which slash commands there are."""
        self._tell({"sessionUpdate": "available_commands_update", "availableCommands": commands})

    def plan(self, entries: list[dict[str, str]]) -> None:
        """Show a plan in place of the one before."""
        self._tell({"sessionUpdate": "plan", "entries": entries})

    def mode(self, mode: str) -> None:
        """Say that the session's mode is another, to clients that know legacy modes."""
        self._tell({"sessionUpdate": "current_mode_update", "currentModeId": mode})

    def config_options(self, options: list[dict[str, Any]]) -> None:
        """Say what the config options are now."""
        self._tell({"sessionUpdate": "config_option_update", "configOptions": options})

    def usage(self, used: int, size: int) -> None:
        """Say how many tokens of the context are in use."""
        self._tell({"sessionUpdate": "usage_update", "used": used, "size": size})

    @property
    def congested(self) -> bool:
        """Whether the client does not read."""
        return self._connection.congested

    async def drain(self) -> None:
        """Wait while the client does not read."""
        if self._connection.congested:
            await self._connection.drain()

    def _tell(self, update: Update) -> None:
        self._record(update)
        self._send(update)

    def _send(self, update: Update) -> None:
        self._connection.notify(METHOD, self._frame(update))

    def _send_text(self, update: Update) -> None:
        content = update["content"]

        def frame(joined: str) -> dict[str, Any]:
            return self._frame({**update, "content": {**content, "text": joined}})

        self._connection.notify_text(METHOD, update["messageId"], content["text"], frame)

    def _frame(self, update: Update) -> dict[str, Any]:
        return {"sessionId": self._session_id, "update": update}


def text_content(text: str) -> dict[str, Any]:
    """Return a text as a tool call shows it, ACP's `ToolCallContent`."""
    return {"type": "content", "content": {"type": "text", "text": text}}
