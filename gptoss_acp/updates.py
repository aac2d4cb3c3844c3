"""What a client is told while a turn runs: ACP's `session/update` notifications of one session.

Knows the shape of updates. Knows nothing about Harmony, so only what is handed to it can be shown.
"""

from __future__ import annotations

from typing import Any

from gptoss_acp.rpc import Connection

METHOD = "session/update"


class Updates:
    """The updates of one session."""

    def __init__(self, connection: Connection, session_id: str) -> None:
        self._connection = connection
        self._session_id = session_id

    def message_chunk(self, message_id: str, text: str) -> None:
        """Stream a piece of the agent's message `message_id`."""

        def frame(joined: str) -> dict[str, Any]:
            content = {"type": "text", "text": joined}
            return self._frame({"sessionUpdate": "agent_message_chunk", "messageId": message_id, "content": content})

        self._connection.notify_text(METHOD, message_id, text, frame)

    def tool_call(self, identifier: str, title: str, kind: str, status: str = "pending") -> None:
        """Say that a tool call has begun; `pending` while its arguments are still to come."""
        update = {"sessionUpdate": "tool_call", "toolCallId": identifier, "title": title, "kind": kind}
        self._connection.notify(METHOD, self._frame({**update, "status": status}))

    def tool_call_update(self, identifier: str, **fields: Any) -> None:
        """Say what has changed about a tool call, in ACP's own field names."""
        update = {"sessionUpdate": "tool_call_update", "toolCallId": identifier, **fields}
        self._connection.notify(METHOD, self._frame(update))

    def plan(self, entries: list[dict[str, str]]) -> None:
        """Show a plan in place of the one before."""
        self._connection.notify(METHOD, self._frame({"sessionUpdate": "plan", "entries": entries}))

    def mode(self, mode: str) -> None:
        """Say that the session's mode is another, to clients that know legacy modes."""
        self._connection.notify(METHOD, self._frame({"sessionUpdate": "current_mode_update", "currentModeId": mode}))

    def config_options(self, options: list[dict[str, Any]]) -> None:
        """Say what the config options are now."""
        update = {"sessionUpdate": "config_option_update", "configOptions": options}
        self._connection.notify(METHOD, self._frame(update))

    def usage(self, used: int, size: int) -> None:
        """Say how many tokens of the context are in use."""
        update = {"sessionUpdate": "usage_update", "used": used, "size": size}
        self._connection.notify(METHOD, self._frame(update))

    @property
    def congested(self) -> bool:
        """Whether the client does not read."""
        return self._connection.congested

    async def drain(self) -> None:
        """Wait while the client does not read."""
        if self._connection.congested:
            await self._connection.drain()

    def _frame(self, update: dict[str, Any]) -> dict[str, Any]:
        return {"sessionId": self._session_id, "update": update}
