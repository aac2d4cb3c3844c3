"""What a server asks the user, put as a part of the call that it is asked in, and withdrawn with that.

Knows calls and tasks. Knows nothing about MCP, nor what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gptoss_acp.errors import ToolError
from gptoss_acp.protocol.face import Answered, TurnCancelledError
from gptoss_acp.text import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from gptoss_acp.protocol.shapes import Elicitation
    from gptoss_acp.tools.call import Call


MOST_QUESTIONS = 20
"""In one call: more than a person would answer, and fewer than it takes to wear one down."""

FORM_WARNING = "What you fill in goes to it. Give it no password, key or other secret here."
"""A form must not ask for any (MCP 2025-11-25, client/elicitation); who asks for one all the same is not obeyed."""

_LONG, _MANY_LINES = 800, 8


class Questions:
    """The questions of the server `name`, put in those `modes` that the client shows."""

    def __init__(self, name: str, modes: Collection[str]) -> None:
        self._name = visible(name)
        self.modes = modes
        self._call: tuple[Call, asyncio.Task[object]] | None = None
        self._open: set[asyncio.Task[Answered]] = set()
        self._left = 0
        self._one_at_a_time = asyncio.Lock()

    @contextlib.contextmanager
    def of(self, call: Call) -> Iterator[None]:
        """Put what the server asks from now on as a part of `call`, until its end."""
        turn = asyncio.current_task()
        assert turn is not None
        self._call, self._left = (call, turn), MOST_QUESTIONS
        try:
            yield
        finally:
            self._call = None
            self._withdraw()

    async def ask(self, elicitation: Elicitation) -> Answered:
        """Return what the user answers, to one question after the other; one that is withdrawn is `cancel`led.

        Raises:
            ToolError: the server has not been called, asks too often, or the question can't be put.
        """
        if self._call is None:
            raise ToolError("the user is asked only while a tool of this server is called")
        if not self._left:
            raise ToolError(f"the user is asked at most {MOST_QUESTIONS} questions in one call")
        self._left -= 1
        call, turn = self._call
        asked = elicitation.copy()
        # Said first, so that it is not taken for the agent, and last where that may be out of sight by then.
        warning = f" {FORM_WARNING}" if elicitation["mode"] == "form" else ""
        who, words = f"The MCP server {self._name} asks.{warning}", elicitation["message"]
        asked["message"] = f"{who}\n\n{words}"
        if len(words) > _LONG or words.count("\n") > _MANY_LINES:
            asked["message"] += f"\n\n{who}"
        asking = asyncio.create_task(self._put(asked, call, turn))
        self._open.add(asking)
        asking.add_done_callback(self._open.discard)
        try:
            await asyncio.wait([asking])
            return Answered("cancel") if asking.cancelled() else asking.result()
        finally:
            asking.cancel()

    async def _put(self, asked: Elicitation, call: Call, turn: asyncio.Task[object]) -> Answered:
        async with self._one_at_a_time:
            try:
                return await call.elicit(asked)
            except TurnCancelledError:
                turn.cancel()
                self._withdraw()  # before the next one is put
                return Answered("cancel")

    def _withdraw(self) -> None:
        for asking in self._open:
            asking.cancel()
