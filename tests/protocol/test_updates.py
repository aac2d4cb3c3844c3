"""What a client is told while a turn runs, in ACP's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.protocol.editor import Editor
from gptoss_acp.protocol.updates import Updates
from gptoss_acp.rpc import Connection


async def test_updates_reach_the_connection_as_acp_session_updates() -> None:
    sent: list[Any] = []

    class Recorder(Connection):
        def __init__(self) -> None: ...

        def notify(self, method: str, params: dict[str, Any]) -> None:
            sent.append((method, params))

        def notify_text(self, method: str, key: str, text: str, frame: Callable[[str], dict[str, Any]]) -> None:
            sent.append((method, frame(text)))

    recorded: list[Any] = []
    updates = Updates(Editor(Recorder(), "the-session", Capabilities()), recorded.append)
    updates.message_chunk("the-message", "Hi")
    updates.usage(10, 100)
    content = {"type": "text", "text": "Hi"}
    chunk = {"sessionUpdate": "agent_message_chunk", "messageId": "the-message", "content": content}
    usage = {"sessionUpdate": "usage_update", "used": 10, "size": 100}
    assert sent == [
        ("session/update", {"sessionId": "the-session", "update": chunk}),
        ("session/update", {"sessionId": "the-session", "update": usage}),
    ]
    assert recorded == [chunk, usage]
