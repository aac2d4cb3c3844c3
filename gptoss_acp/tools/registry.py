"""Which tools there are, and by which names the model may call them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gptoss_acp.harmony.render import FunctionTool
from gptoss_acp.tools import acting, reading
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
    _tool(reading.read_file, reading.ReadFile, "read", "Read a file"),
    _tool(reading.list_dir, reading.ListDir, "read", "List a folder"),
    _tool(reading.search, reading.Search, "search", "Search"),
    _tool(acting.apply_patch, None, "edit", "Edit files"),
    _tool(acting.shell, acting.Shell, "execute", "Run a command"),
    _tool(acting.update_plan, acting.UpdatePlan, "think", "Update the plan"),
)
"""In the order in which the developer message lists them."""
