"""Which tools there are, and by which names the model may call them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gptoss_acp.tool_description import ToolDescription
from gptoss_acp.tools import apply_patch, list_dir, read_file, search, shell, update_plan

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gptoss_acp.tools.arguments import Arguments
    from gptoss_acp.tools.call import Call, Result

ALIASES = {"container.exec": "functions.shell"}
"""Other names that gpt-oss was trained to call a tool by."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: what the model is told, the function that carries it out, and how the editor shows it at first.

    `arguments` reads the object that the model has given; without it the tool takes one string.
    """

    description: ToolDescription
    function: Callable[[Any, Call], Awaitable[str | Result]]
    arguments: Callable[[dict[str, Any]], Any] | None
    kind: str
    title: str

    @property
    def name(self) -> str:
        return self.description.name


def _tool(
    function: Callable[[Any, Call], Awaitable[str | Result]], arguments: type[Arguments] | None, kind: str, title: str
) -> Tool:
    """Return a tool of ours; the model is told the function's docstring."""
    schema = {"type": "string"} if arguments is None else arguments.told_schema()
    description = ToolDescription(function.__name__, inspect.getdoc(function) or "", schema)
    return Tool(description, function, arguments and arguments.of, kind, title)


CODING_TOOLS = (
    _tool(read_file.read_file, read_file.ReadFile, "read", "Read a file"),
    _tool(list_dir.list_dir, list_dir.ListDir, "read", "List a folder"),
    _tool(search.search, search.Search, "search", "Search"),
    _tool(apply_patch.apply_patch, None, "edit", "Edit files"),
    _tool(shell.shell, shell.Shell, "execute", "Run a command"),
    _tool(update_plan.update_plan, update_plan.UpdatePlan, "think", "Update the plan"),
)
"""In the order in which the developer message lists them."""
