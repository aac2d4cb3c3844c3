"""Which tools there are, and what the model is told of them."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gptoss_acp.tool_description import ToolDescription
from gptoss_acp.tool_names import APPLY_PATCH, ASK_USER, EXEC, OPEN_FILE, PRINT_TREE, PYTHON, SEARCH
from gptoss_acp.tools import apply_patch, ask_user, commands, open_file, print_tree, search, update_plan

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from gptoss_acp.tools.arguments import Arguments
    from gptoss_acp.tools.call import Call, Result


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: what the model is told, the function that carries it out, and how the editor shows it at first.

    `arguments` is the model of its arguments, or the name of the one text that it takes; without it, it takes any
    object.
    """

    description: ToolDescription
    function: Callable[[Any, Call], Awaitable[str | Result]]
    arguments: type[Arguments] | str | None
    kind: str
    title: str

    @property
    def recipient(self) -> str:
        return self.description.recipient


def _tool(
    recipient: str,
    function: Callable[[Any, Call], Awaitable[str | Result]],
    arguments: type[Arguments] | str,
    kind: str,
    title: str,
) -> Tool:
    """Return a tool of ours, whose arguments have a model or are one text of that name.

    The model is told the function's docstring.
    """
    namespace, _, name = recipient.rpartition(".")
    if isinstance(arguments, str):
        schema = {"type": "object", "properties": {arguments: {"type": "string"}}, "required": [arguments]}
    else:
        schema = arguments.told_schema()
    description = ToolDescription(name, inspect.getdoc(function) or "", schema, namespace)
    return Tool(description, function, arguments, kind, title)


CODING_TOOLS = (
    _tool(EXEC, commands.run, commands.Exec, "execute", "Run a command"),
    _tool(PRINT_TREE, print_tree.print_tree, print_tree.PrintTree, "read", "List a folder"),
    _tool(SEARCH, search.search, search.Search, "search", "Search"),
    _tool(OPEN_FILE, open_file.open_file, open_file.OpenFile, "read", "Read a file"),
    _tool(APPLY_PATCH, apply_patch.apply_patch, "patch", "edit", "Edit files"),
    _tool("functions.update_plan", update_plan.update_plan, update_plan.UpdatePlan, "think", "Update the plan"),
)
"""In the order in which the model is told of them."""

ASK_USER_TOOL = _tool(ASK_USER, ask_user.ask_user, ask_user.AskUser, "other", "Ask the user")
"""For where the user can be shown a form; elsewhere the model asks in its answer."""

PYTHON_TOOL = _tool(PYTHON, commands.python, "code", "execute", "Run Python code")
"""The model is not told of it, but calls it."""

_INSTEAD = (
    (re.compile(r"write|create|edit|replace|insert|delete|remove|move|rename"), "change files", APPLY_PATCH),
    (re.compile(r"search|grep|glob|find"), "search files", SEARCH),
    (re.compile(r"list|dir|tree"), "list folders", PRINT_TREE),
    (re.compile(r"read|open|view|file"), "read files", OPEN_FILE),
    (re.compile(r"run|exec|command|terminal|shell"), "run programs", EXEC),
)
_ASKING = re.compile(r"(?<![a-z])ask|question|user_input|elicit|clarif")
_WEB = re.compile(r"web|http|url|fetch|(?<!repo_)browser")


def instead_of(written: str, recipients: Collection[str]) -> str:
    """Return what to tell the model when it has called a tool that is none of `recipients`."""
    if not recipients:
        return "No tools are available."
    name = written.lower()
    told = f"The tools are: {', '.join(recipients)}."
    if _ASKING.search(name) and ASK_USER not in recipients:
        return "What you need to know from the user, ask in your answer."
    if _WEB.search(name):
        return f"Nothing here reaches the web. {told}"
    for pattern, purpose, recipient in _INSTEAD:
        if recipient in recipients and pattern.search(name):
            return f"To {purpose}, call {recipient}."
    return told
