"""Which tools there are, and by which names the model may call them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gptoss_acp.harmony.render import FunctionTool
from gptoss_acp.tools import read_file, shell
from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.tools.call import Call, Result

ALIASES = {"container.exec": "functions.shell"}
"""Other names that gpt-oss was trained to call a tool by."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: what the model is told, the function that carries it out, and how the editor shows it at first.

    `arguments` reads the object that the model has given; without it the tool takes one string.
    """

    description: FunctionTool
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
    description = FunctionTool(function.__name__, inspect.getdoc(function) or "", schema)
    return Tool(description, function, arguments and arguments.of, kind, title)


CODING_TOOLS = (
    _tool(read_file.read_file, read_file.ReadFile, "read", "Read a file"),
    _tool(read_file.list_dir, read_file.ListDir, "read", "List a folder"),
    _tool(read_file.search, read_file.Search, "search", "Search"),
    _tool(shell.apply_patch, None, "edit", "Edit files"),
    _tool(shell.shell, shell.Shell, "execute", "Run a command"),
    _tool(shell.update_plan, shell.UpdatePlan, "think", "Update the plan"),
)
"""In the order in which the developer message lists them."""
