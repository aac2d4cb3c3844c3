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

    def usage(self, used: int, size: int) -> None:
        """Say how many tokens of the context are in use."""
        update = {"sessionUpdate": "usage_update", "used": used, "size": size}
        self._connection.notify(METHOD, self._frame(update))

    async def drain(self) -> None:
        """Wait while the client does not read."""
        if self._connection.congested:
            await self._connection.drain()

    def _frame(self, update: dict[str, Any]) -> dict[str, Any]:
        return {"sessionId": self._session_id, "update": update}
