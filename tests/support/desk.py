"""Tools at work on real files and processes, without the program around them: a client made of answers.

Knows the tools' rooms. Knows nothing about the wire.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import orjson

from gptoss_acp.conversation.journal import Journal
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.protocol.editor import Editor
from gptoss_acp.protocol.updates import Updates
from gptoss_acp.rpc import METHOD_NOT_FOUND, Connection, RpcError
from gptoss_acp.settings import Mode
from gptoss_acp.store import Store
from gptoss_acp.tools.permissions import Permissions
from gptoss_acp.tools.runner import Runner
from gptoss_acp.workspace.paths import Roots
from gptoss_acp.workspace.workspace import Workspace


@functools.cache
def stores() -> Store:
    """Return the store of all tests."""
    return Store()


def new_journal() -> Journal:
    """Return the record of a new session, in the store of all tests."""
    return Journal(stores().create("/work"))


class Peer:
    """What stands for the connection: it answers requests by `answers`, functions of the params, and keeps updates."""

    congested = False

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.updates: list[dict[str, Any]] = []

    async def request(self, method: str, params: dict[str, Any]) -> Any:
        assert len(orjson.dumps(params)) < 63 * 1024
        self.asked.append((method, params))
        if method not in self.answers:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        answer = self.answers[method](params)
        return await answer if inspect.isawaitable(answer) else answer

    def notify(self, _method: str, params: dict[str, Any]) -> None:
        assert len(orjson.dumps(params)) < 63 * 1024
        self.updates.append(params["update"])

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]


class Desk:
    """The tools of a session in `cwd`, whose user answers every permission request with `answer`."""

    def __init__(
        self,
        cwd: Path,
        mode: Mode = "full-access",
        *,
        answer: str = "reject_once",
        additional: Sequence[Path] = (),
        capabilities: Capabilities | None = None,
    ) -> None:
        self.cwd = cwd
        self.peer = Peer()
        self.answer = answer
        self.peer.answers["session/request_permission"] = lambda _: {
            "outcome": {"outcome": "selected", "optionId": self.answer}
        }
        connection = cast(Connection, self.peer)
        self.face = Editor(connection, "session", capabilities or Capabilities(tells_options_apart=True))
        self.workspace = Workspace(Roots(cwd, additional), self.face)
        self.permissions = Permissions(mode)
        self.runner = Runner(self.workspace, self.permissions, Updates(self.face, lambda _: None))

    async def call(self, tool: str, arguments: Any = None, /, **named: Any) -> str:
        """Call a tool as the model does, with `arguments` or `named` ones, and return its result."""
        given = named if arguments is None else arguments
        text = given if isinstance(given, str) else json.dumps(given)
        return await self.runner.announce(f"functions.{tool}").run(text)

    async def patch(self, *lines: str) -> str:
        """Call apply_patch with the lines between the patch's first and last."""
        return await self.call("apply_patch", "\n".join(["*** Begin Patch", *lines, "*** End Patch"]))

    @property
    def permissions_asked(self) -> list[Any]:
        return [params for method, params in self.peer.asked if method == "session/request_permission"]

    @property
    def last(self) -> dict[str, Any]:
        """Return the last update."""
        return self.peer.updates[-1]
