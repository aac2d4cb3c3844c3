"""What a user is asked before something is done: all of it, so that everything can be seen, or it is not asked.

Knows ACP's permission requests. Knows nothing about who may do what.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from gptoss_acp.errors import ToolError
from gptoss_acp.protocol.shapes import PermissionOption, ToolCallContent, ToolCallState, text_content
from gptoss_acp.text import clip_line, code_span, fenced, json_size, visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gptoss_acp.tools.permissions import Ask
    from gptoss_acp.workspace.diffs import Shown

LONGEST = 42_000
"""Bytes, as JSON, of what stands below the title, so that all fits into one line of the wire."""

LONGEST_TITLE = 200
_LONGEST_OPTION = 1_000

IN_BACKGROUND = "in the background, until the session ends"

GUESSED = "text whose encoding is a guess"

# Some editors know only ids that are spelt like the kinds.
ONCE, WITH_NETWORK, ALWAYS, REJECT = "allow_once", "allow_network", "allow_always", "reject_once"


@dataclass(frozen=True, slots=True)
class Question:
    """What stands below a question's title. `advice` is for the model where that is too much to be asked whole."""

    contents: Sequence[ToolCallContent] = field(default_factory=list)
    advice: str = "it is too long to be shown to the user whole"
    whole: bool = True

    def state(self, fields: ToolCallState, title: str) -> ToolCallState:
        """Return the tool call as the user is asked about it, with all of its `title`.

        Raises:
            ToolError: not all of it can be shown; nobody shall allow what they can't see.
        """
        contents = list(self.contents)
        if fields["title"] != clip_line(title, len(title)):
            contents.insert(0, text_content(fenced(title)))
        if not self.whole:
            raise ToolError(self.advice)
        refuse_longer(contents, self.advice)
        state = fields.copy()
        state["status"] = "pending"
        if contents:
            state["content"] = contents
        return state


def refuse_longer(value: Any, advice: str = "it is too long to be shown to the user whole; ask less at once") -> None:
    """Return where a JSON value can be shown whole, or looked through in a moment.

    Raises:
        ToolError: it can't; the message is `advice`.
    """
    try:
        is_too_long = json_size(value) > LONGEST
    except RecursionError:
        is_too_long = True
    if is_too_long:
        raise ToolError(advice)


def of_reading(written: str, real: Path) -> Question:
    """Return the question about reading `real`, which the model has written so."""
    if written == str(real):
        return Question()
    return Question([text_content(f"{code_span(written)} leads to {code_span(str(real))}")])


def of_changes(shown: Shown) -> Question:
    advice = "the patch is too large to be shown to the user whole; send several smaller patches"
    return Question(shown.contents, advice, shown.whole)


def folder(shown: str, written: str, real: Path) -> str:
    """Return what is said of a folder that the model has `written`, or left out, and that is the resolved `real`."""
    named = "the working directory" if shown == "." else code_span(shown)
    return named if written == str(real) else f"{named}, which leads to {code_span(str(real))}"


def of_command(line: str, language: str, where: str, *conditions: str) -> Question:
    """Return the question about a command: all of it, and on lines of their own where and how it would run."""
    lines = [fenced(visible(line), language), f"- in {where}", *(f"- {condition}" for condition in conditions)]
    return Question(
        [text_content("\n".join(lines))], "the command is too long; write it to a file with apply_patch and run that"
    )


def of_use(arguments: Any) -> Question:
    """Return the question about an MCP server's tool that would be called with these arguments."""
    told = orjson.dumps(arguments, default=str, option=orjson.OPT_INDENT_2).decode(errors="replace")
    return Question(
        [text_content(fenced(visible(told), "json"))], "the arguments are too long to be shown to the user whole"
    )


def options(ask: Ask, *, told_apart: bool) -> list[PermissionOption]:
    """Return what the user can answer; no two of a kind where these are not `told_apart`."""
    always = clip_line(visible(ask.always), _LONGEST_OPTION)
    offered: list[PermissionOption] = [{"optionId": ONCE, "name": "Allow once", "kind": "allow_once"}]
    if ask.network and told_apart:
        offered.append({"optionId": WITH_NETWORK, "name": "Allow once, with network", "kind": "allow_once"})
    return [
        *offered,
        {"optionId": ALWAYS, "name": always, "kind": "allow_always"},
        {"optionId": REJECT, "name": "Reject", "kind": "reject_once"},
    ]
