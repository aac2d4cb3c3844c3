"""A conversation as its client sees it live, and as a later process replays it.

Knows ACP's sessions. Knows nothing about how they are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.agent_process import AgentProcess, Received
from tests.support.client_view import view
from tests.support.conformance import Message
from tests.support.tokens import tool_call


def patch(*lines: str) -> list[int]:
    return tool_call("functions.apply_patch", "\n".join(["*** Begin Patch", *lines, "*** End Patch"]))


def shell(script: str) -> list[int]:
    return tool_call("functions.shell", f'{{"command": ["sh", "-c", "{script}"]}}')


def received(agent: AgentProcess, session: str) -> list[Received]:
    """Return all of a session's updates so far, each with the time when it came."""
    return [
        one
        for one in agent.received
        if one.message.get("method") == "session/update" and one.message["params"]["sessionId"] == session
    ]


def updates(agent: AgentProcess, session: str) -> list[Message]:
    return [one.message["params"]["update"] for one in received(agent, session)]


def opened(agent: AgentProcess, method: str, session: str, **params: Any) -> Any:
    return agent.result(agent.ask(method, {"sessionId": session, "cwd": str(agent.home), "mcpServers": [], **params}))


def loaded(agent: AgentProcess, session: str) -> list[Message]:
    """Load a session and return what was replayed."""
    before = len(updates(agent, session))
    opened(agent, "session/load", session)
    return updates(agent, session)[before:]


def items(shown: list[Message]) -> list[dict[str, Any]]:
    """Return the conversation that a client shows, less what was told of thoughts, which is of no later interest.

    The ids of the user's messages are the agent's own.
    """
    lasting = [one for one in shown if one["sessionUpdate"] != "agent_thought_chunk"]
    unnamed = [{**one, "messageId": None} if one["sessionUpdate"] == "user_message_chunk" else one for one in lasting]
    return view(unnamed).items


def is_running(agent: AgentProcess, session: str) -> bool:
    """Whether the last thing that a session has shown is a tool call that runs."""
    return any(item.get("status") == "in_progress" for item in items(updates(agent, session))[-1:])


def listed(agent: AgentProcess, **params: Any) -> Any:
    return agent.result(agent.ask("session/list", params))


class Live:
    """A conversation as its client sees it, with what the user has typed; `shown` is up to date after each prompt."""

    def __init__(self, agent: AgentProcess, session: str) -> None:
        self.agent = agent
        self.session = session
        self.shown: list[Message] = []
        self._taken = len(updates(agent, session))

    def say(self, text: str, until: Callable[[], bool] | None = None) -> str:
        """Send a prompt, cancel it once `until` holds, and return its stop reason."""
        self.shown.append(typed(text))
        asked = self.agent.prompt(self.session, text)
        if until is not None:
            self.agent.read_until(until)
            self.agent.cancel(self.session)
        answer = self.agent.result(asked)
        new = updates(self.agent, self.session)[self._taken :]
        self._taken += len(new)
        self.shown += new
        return str(answer["stopReason"])


def typed(text: str) -> Message:
    """Return what a client shows of a prompt."""
    content = {"type": "text", "text": text}
    return {"sessionUpdate": "user_message_chunk", "messageId": None, "content": content}
