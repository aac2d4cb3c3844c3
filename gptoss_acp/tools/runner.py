"""What happens around every tool call, once for all tools.

The call is announced, its arguments are read, the function runs, every failure becomes a result that the model can act
on, and the result is kept within bounds. Knows nothing about what the tools do.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any

from gptoss_acp.errors import ToolError
from gptoss_acp.protocol.face import TurnCancelledError
from gptoss_acp.text import LONGEST_RESULT, clip
from gptoss_acp.tools.call import Call, Result
from gptoss_acp.tools.lenient_json import ArgumentError, parse_object, parse_string
from gptoss_acp.tools.registry import ALIASES, CODING_TOOLS, Tool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gptoss_acp.protocol.updates import Updates
    from gptoss_acp.tools.permissions import Permissions
    from gptoss_acp.workspace.files import Change
    from gptoss_acp.workspace.workspace import Workspace

log = logging.getLogger(__name__)

CANCELLED = "Error: cancelled by the user."
MOST_REPETITIONS = 2


class Runner:
    """The tools of one turn. `changes` are those that its calls have made to files, in their order.

    `before_changes` is awaited before any is made.
    """

    def __init__(
        self,
        workspace: Workspace,
        permissions: Permissions,
        updates: Updates,
        tools: Sequence[Tool] = CODING_TOOLS,
        before_changes: Callable[[Sequence[Change]], Awaitable[None]] | None = None,
    ) -> None:
        self._workspace = workspace
        self._permissions = permissions
        self._updates = updates
        self.changes: list[Change] = []
        self._before_changes = before_changes
        self._tools = {f"functions.{tool.name}": tool for tool in tools}
        self._last: tuple[str, Any] | None = None
        self._repetitions = 0
        self._longest = LONGEST_RESULT

    def limit_results(self, context_length: int) -> None:
        """Keep every result so short that a context of so many tokens holds several."""
        self._longest = max(1000, min(LONGEST_RESULT, context_length))

    def announce(self, recipient: str) -> AnnouncedCall:
        """Show that the model has begun to call a tool; its arguments are still to come."""
        tool = self._find(recipient)
        title, kind = (tool.title, tool.kind) if tool else (f"Unknown tool {recipient[:100]}", "other")
        call = Call(
            *(str(uuid.uuid4()), self._workspace, self._permissions, self._updates),
            title=title,
            kind=kind,
            longest_output=self._longest - 200,
            changes=self.changes,
            before_changes=self._before_changes,
        )
        self._updates.tool_call(call.identifier, title, kind)
        return AnnouncedCall(self, call, recipient)

    async def run(self, recipient: str, text: str, call: Call) -> Result:
        """Carry out a call whose arguments are `text`.

        Raises:
            ToolError: it could not be done.
        """
        tool = self._find(recipient)
        if tool is None:
            names = ", ".join(tool.name for tool in self._tools.values())
            available = f"The tools are: {names}." if names else "No tools are available."
            raise ToolError(f"there is no tool {recipient[:100]}. {available}")
        given = _read(tool, text)
        call.started(given if isinstance(given, dict) else {"input": given})
        self._refuse_repetition(tool, given)
        arguments = given if tool.arguments is None else tool.arguments(given)
        result = await tool.function(arguments, call)
        return result if isinstance(result, Result) else Result(result)

    def clip(self, text: str) -> str:
        return clip(text, self._longest)

    def _find(self, recipient: str) -> Tool | None:
        return self._tools.get(ALIASES.get(recipient, recipient))

    def _refuse_repetition(self, tool: Tool, given: Any) -> None:
        same = self._last == (tool.name, given)
        self._repetitions = self._repetitions + 1 if same else 1
        self._last = (tool.name, given)
        if self._repetitions > MOST_REPETITIONS:
            raise ToolError(
                f"you have called {tool.name} with the same arguments {MOST_REPETITIONS} times in a row, so it was not "
                "run again. Use the result you have, or try another way."
            )


class AnnouncedCall:
    """A tool call that the editor knows of: it is run or abandoned, and shown to end either way."""

    def __init__(self, runner: Runner, call: Call, recipient: str) -> None:
        self._toolbox = runner
        self._call = call
        self._recipient = recipient

    async def run(self, text: str) -> str:
        """Run the call with its arguments and return its result for the model; failures are results too.

        Raises:
            TurnCancelledError: the user cancelled the turn when asked for permission.
        """
        try:
            result = await self._run(text)
        except (asyncio.CancelledError, TurnCancelledError):
            self._call.finished(Result(CANCELLED, failed=True))
            raise
        self._call.finished(result)
        return self._toolbox.clip(result.text)

    def abandon(self) -> None:
        """Show that the call has come to nothing, if it has not ended yet."""
        self._call.finished(Result("Error: the call was cut short.", failed=True))

    async def _run(self, text: str) -> Result:
        try:
            return await self._toolbox.run(self._recipient, text, self._call)
        except ToolError as error:
            problem = str(error)
        except TurnCancelledError:
            raise
        except Exception as error:
            log.exception("tool %s failed", self._recipient)
            problem = f"the tool failed: {type(error).__name__}"
        return Result(f"Error: {problem}{'' if problem.endswith(('.', '?', '!', '`')) else '.'}", failed=True)


def _read(tool: Tool, text: str) -> Any:
    try:
        return parse_string(text) if tool.arguments is None else parse_object(text)
    except ArgumentError as error:
        raise ToolError(str(error)) from None
