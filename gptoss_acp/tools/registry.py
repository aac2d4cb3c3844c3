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
    """One tool: the function that carries it out, and how the editor shows it before its arguments are known.

    The function's docstring is what the model is told. Without `arguments` the tool takes one string.
    """

    function: Callable[[Any, Call], Awaitable[str | Result]]
    arguments: type[Arguments] | None
    kind: str
    title: str

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def description(self) -> FunctionTool:
        schema = {"type": "string"} if self.arguments is None else self.arguments.told_schema()
        return FunctionTool(self.name, inspect.getdoc(self.function) or "", schema)


CODING_TOOLS = (
    Tool(reading.read_file, reading.ReadFile, "read", "Read a file"),
    Tool(reading.list_dir, reading.ListDir, "read", "List a folder"),
    Tool(reading.search, reading.Search, "search", "Search"),
    Tool(acting.apply_patch, None, "edit", "Edit files"),
    Tool(acting.shell, acting.Shell, "execute", "Run a command"),
    Tool(acting.update_plan, acting.UpdatePlan, "think", "Update the plan"),
)
"""In the order in which the developer message lists them."""
