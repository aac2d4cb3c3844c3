"""What happens around every tool call, once for all tools.

The call is announced, its arguments are read, the function runs, every failure becomes a result that the model can act
on, and the result is kept within bounds. Knows nothing about what the tools do.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gptoss_acp.errors import ToolError
from gptoss_acp.protocol.face import TurnCancelledError
from gptoss_acp.text import LONGEST_RESULT, clip
from gptoss_acp.tool_names import PYTHON, ToolNames
from gptoss_acp.tools.arguments import given_to_other, text_names
from gptoss_acp.tools.call import Call, Result
from gptoss_acp.tools.lenient_json import ArgumentError, read_text
from gptoss_acp.tools.registry import CODING_TOOLS, PYTHON_TOOL, Tool, instead_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gptoss_acp.protocol.updates import Updates
    from gptoss_acp.tools.permissions import Permissions
    from gptoss_acp.workspace.edits import Change
    from gptoss_acp.workspace.workspace import Workspace

log = logging.getLogger(__name__)

CANCELLED = "Error: cancelled by the user."
MOST_REPETITIONS = 3
"""Of the same call with the same result, before the model is told of them."""


class Runner:
    """The tools of one turn, and the `names` by which the model may call them.

    `changes` are those that its calls have made to files, in their order; `before_changes` is awaited before any is
    made.
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
        self.take(tools)
        self._last: tuple[str, str, str] | None = None
        self._repetitions = 0
        self._longest = LONGEST_RESULT

    def take(self, tools: Sequence[Tool]) -> None:
        """Let the model call these tools from now on, and no others."""
        self._tools = {tool.recipient: tool for tool in tools}
        self.names = ToolNames(self._tools)

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
        self._updates.tool_call(call.identifier, title, kind, name=self.names.meant(recipient) or "")
        return AnnouncedCall(self, call, recipient)

    async def run(self, recipient: str, text: str, call: Call) -> Result:
        """Carry out a call whose arguments are `text`, and return its result, with notes in last lines.

        Raises:
            TurnCancelledError: the user cancelled the turn when asked for permission.
        """
        result = await self._result(recipient, text, call)
        notes = call.notes + self._repetition(recipient, text, result)
        return replace(result, text=_with_notes(result.text, notes)) if notes else result

    def clip(self, text: str) -> str:
        return clip(text, self._longest)

    async def _result(self, recipient: str, text: str, call: Call) -> Result:
        try:
            return await self._carry_out(recipient, text, call)
        except (ToolError, ArgumentError) as error:
            problem = str(error)
        except TurnCancelledError:
            raise
        except Exception as error:
            log.exception("tool %s failed", recipient)
            problem = f"the tool failed: {type(error).__name__}"
        return Result(f"Error: {problem}{'' if problem.endswith(('.', '?', '!', '`')) else '.'}", failed=True)

    async def _carry_out(self, recipient: str, text: str, call: Call) -> Result:
        tool = self._find(recipient)
        if tool is None:
            raise ToolError(f"there is no tool {recipient[:100]}. {instead_of(recipient, self._tools)}")
        result = await tool.function(_read(tool, text, call), call)
        return result if isinstance(result, Result) else Result(result)

    def _find(self, recipient: str) -> Tool | None:
        meant = self.names.meant(recipient)
        return PYTHON_TOOL if meant == PYTHON else self._tools[meant] if meant else None

    def _repetition(self, recipient: str, text: str, result: Result) -> list[str]:
        this = (recipient, "".join(text.split()), result.text)
        self._repetitions = self._repetitions + 1 if this == self._last else 1
        self._last = this
        if self._repetitions < MOST_REPETITIONS:
            return []
        return [f"(this call gave the same result {self._repetitions} times in a row; try another way)"]


class AnnouncedCall:
    """A tool call that the editor knows of: it is run or abandoned, and shown to end either way."""

    def __init__(self, runner: Runner, call: Call, recipient: str) -> None:
        self._runner = runner
        self._call = call
        self._recipient = recipient

    async def run(self, text: str) -> str:
        """Run the call with its arguments and return its result for the model; failures are results too.

        Raises:
            TurnCancelledError: the user cancelled the turn when asked for permission.
        """
        try:
            result = await self._runner.run(self._recipient, text, self._call)
        except (asyncio.CancelledError, TurnCancelledError):
            self._call.finished(Result(CANCELLED, failed=True))
            raise
        self._call.finished(result)
        return self._runner.clip(result.text)

    def abandon(self) -> None:
        """Show that the call has come to nothing, if it has not ended yet."""
        self._call.finished(Result("Error: the call was cut short.", failed=True))


def _read(tool: Tool, text: str, call: Call) -> Any:
    """Return the arguments that `text` gives `tool`, which the editor is shown too.

    Raises:
        ArgumentError, ToolError: they can't be read, or are none of the tool's.
    """
    if isinstance(tool.arguments, str):
        told = read_text(text, text_names(tool.arguments), call.notes)
        call.started({"input": told})
        return told
    if tool.arguments is None:
        given = given_to_other(text, tool.description.parameters.get("properties", {}), call.notes)
        call.started(given)
        return given
    given = tool.arguments.given(text, call.notes)
    call.started(given)
    return tool.arguments.of(given)


def _with_notes(text: str, notes: Sequence[str]) -> str:
    return "\n".join([text.removesuffix("\n"), *notes])
