"""A session as it looks in a terminal: Markdown as it streams, what the tools do, diffs in colour, questions.

Knows ACP's updates. Knows nothing about what is typed but for the answers to questions.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import termios
from typing import TYPE_CHECKING, Any

from prompt_toolkit.application import get_app_session
from prompt_toolkit.input.typeahead import get_typeahead
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.syntax import Syntax
from rich.text import Text

from gptoss_acp.cli import forms, printing
from gptoss_acp.cli.local import Faceless
from gptoss_acp.cli.markdown import Markdown
from gptoss_acp.cli.sessions import planned
from gptoss_acp.errors import ToolError
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.protocol.face import TurnCancelledError
from gptoss_acp.text import split_lines, unified_diff, visible_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console, RenderableType

    from gptoss_acp.protocol.face import Answered
    from gptoss_acp.protocol.shapes import Elicitation, PermissionOption, ToolCallContent, ToolCallState, Update

MOST_LINES = 20
"""Lines of a command's output that are shown; all of it is the model's."""


class TerminalFace(Faceless):
    """The terminal of one session. While `live`, what is not complete yet is shown below what is."""

    capabilities = Capabilities(tells_options_apart=True, forms=True, urls=True)

    def __init__(self, console: Console) -> None:
        self.commands: list[tuple[str, str]] = []
        self.used: tuple[int, int] | None = None
        self._console = console
        self._marks = printing.marks(console)
        self._live: Live | None = None
        self._message = ""
        self._said = ""
        self._thought = ""
        self._calls: dict[str, dict[str, Any]] = {}

    def begin(self) -> None:
        """Show from now on what is under way, until `end`."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, transient=True, refresh_per_second=10)
            self._live.start()

    def end(self) -> None:
        """Show what is left, for good."""
        self._complete_message()
        if self._live is not None:
            self._live.update("", refresh=True)
            self._live.stop()
            self._live = None

    def update(self, update: Update) -> None:
        update = visible_in(update)
        match update["sessionUpdate"]:
            case "user_message_chunk":
                self._complete_message()
                self._print(Text(f"> {update['content'].get('text', '')}", style="bold"))
            case "agent_message_chunk":
                self._take(update["messageId"], update["content"]["text"])
            case "agent_thought_chunk":
                self._turn_to(update["messageId"])
                self._thought += update["content"]["text"]
            case "tool_call" | "tool_call_update":
                self._complete_message()
                self._note_call(update)
            case "plan":
                self._print(Group(*(Text(f"  {planned(entry)}") for entry in update["entries"])))
            case "available_commands_update":
                self.commands = [(command["name"], command["description"]) for command in update["availableCommands"]]
            case "usage_update":
                self.used = update["used"], update["size"]
        self._show_what_is_under_way()

    async def ask(self, tool_call: ToolCallState, options: Sequence[PermissionOption]) -> str:
        tool_call, options = visible_in(tool_call), visible_in(list(options))
        with self._standing_still():
            self._console.print()
            self._console.print(Text(tool_call["title"], style="bold yellow"))
            for content in tool_call.get("content") or ():
                self._console.print(_shown(content, most=None))
            for number, option in enumerate(options, 1):
                self._console.print(Text(f"  {number}  {option['name']}"))
            return await _chosen(options)

    async def elicit(self, elicitation: Elicitation) -> Answered:
        with self._standing_still():
            return await forms.filled_in(self._console, visible_in(elicitation))

    @contextlib.contextmanager
    def _standing_still(self) -> Iterator[None]:
        """Let the user be asked something, with nothing below it that moves; what was typed before is no answer."""
        was_live = self._live is not None
        self.end()
        if _drop_typed_ahead():
            self._print(Text("(What was typed before this question is dropped.)", style="dim"))
        try:
            yield
        except (KeyboardInterrupt, EOFError):
            raise TurnCancelledError from None
        except asyncio.CancelledError:
            _drop_typed_ahead()
            self._print(Text("The question is withdrawn.", style="dim"))
            raise
        finally:
            if was_live:
                self.begin()

    def _take(self, message: str, text: str) -> None:
        """Take the next piece of a message; its blocks that are complete are shown for good."""
        self._turn_to(message)
        self._said += text
        if "\n" not in text:  # in which no block ends
            return
        complete, self._said = _complete_blocks(self._said)
        if complete:
            self._print(Markdown(complete))

    def _turn_to(self, message: str) -> None:
        if message != self._message:
            self._complete_message()
            self._message = message

    def _complete_message(self) -> None:
        if self._thought:
            self._print(Text(self._thought, style="dim"))
        if self._said.strip():
            self._print(Markdown(self._said))
        self._thought = self._said = ""

    def _note_call(self, update: Mapping[str, Any]) -> None:
        identifier = update["toolCallId"]
        call = self._calls[identifier] = {**self._calls.get(identifier, {}), **update}
        if (status := call.get("status")) in {"completed", "failed"}:
            del self._calls[identifier]
            mark, style = (self._marks.well, "green") if status == "completed" else (self._marks.wrong, "red")
            self._print(Text.assemble((f"{mark} ", style), call.get("title", "")))
            for content in call.get("content") or ():
                self._print(_shown(content, most=MOST_LINES))

    def _print(self, what: RenderableType) -> None:
        self._console.print(what)

    def _show_what_is_under_way(self) -> None:
        if self._live is not None:
            self._live.update(Group(*self._under_way()))

    def _under_way(self) -> Iterator[RenderableType]:
        if self._thought:
            yield Spinner(self._marks.spinner, text=Text(self._thought, style="dim"))
        if self._said:
            lines = self._said.split("\n")
            room = max(1, self._console.height - 4)
            yield Markdown(self._said) if len(lines) <= room else Text("\n".join(lines[-room:]))
        for call in self._calls.values():
            yield Spinner(self._marks.spinner, text=Text(call.get("title", "")))


def _drop_typed_ahead() -> bool:
    """Forget what has been typed and not been read, and return whether there was a line."""
    source = get_app_session().input
    was_read = bool(get_typeahead(source))
    with contextlib.suppress(OSError, ValueError, termios.error):  # no terminal
        was_read = bool(select.select([source.fileno()], [], [], 0)[0]) or was_read
        termios.tcflush(source.fileno(), termios.TCIFLUSH)
    return was_read


async def _chosen(options: Sequence[PermissionOption]) -> str:
    for _ in range(forms.MOST_TRIES):
        answer = await forms.typed_line(f"Which (1-{len(options)}): ")
        if answer.isdecimal() and 1 <= int(answer) <= len(options):
            return options[int(answer) - 1]["optionId"]
    raise ToolError("the user's answer was none of those that were offered")


def _complete_blocks(said: str) -> tuple[str, str]:
    """Return the blocks of Markdown that nothing can change any more, and the rest."""
    begins = [token.map[0] for token in Markdown(said).parsed if token.level == 0 and token.map]
    lines = split_lines(said)
    last = begins[-1] if begins else 0
    return "".join(lines[:last]), "".join(lines[last:])


def _shown(content: ToolCallContent, most: int | None) -> RenderableType:
    """Return a piece of a tool call's content, of a text the last `most` lines."""
    if content["type"] == "diff":
        lines = unified_diff(content["path"], content["oldText"] or "", content["newText"])
        return Syntax("\n".join(lines), "diff")
    if content["type"] != "content":
        return Text("")
    text = content["content"].get("text", "")
    lines = text.split("\n")
    if most is None or len(lines) <= most:
        return Markdown(text)
    left_out = Text(f"… {len(lines) - most:,} lines above", style="dim")
    return Group(left_out, Text("\n".join(lines[-most:]), style="dim"))
