"""Whom a session talks to: what it is told and asked, and the files and terminals that it may have.

An editor on the wire is one, whatever else shows a session another. Knows what passes between them. Knows nothing about
how it is carried, nor about modes, roots or tools.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gptoss_acp.protocol.capabilities import Capabilities
    from gptoss_acp.protocol.shapes import Elicitation, PermissionOption, ToolCallState, Update


class TurnCancelledError(Exception):
    """The user has cancelled the turn by way of the permission request (ACP, tool-calls, `cancelled` outcome)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of an elicitation (ACP, elicitation): `content` is what a form was filled in with, by its fields."""

    action: Literal["accept", "decline", "cancel"]
    content: Mapping[str, Any] = field(default_factory=dict)


class Face(Protocol):
    """The other side of one session. Where it fails, or answers otherwise than agreed, it raises ToolError."""

    @property
    def capabilities(self) -> Capabilities:
        """What of the following it can do."""
        ...

    def update(self, update: Update) -> None:
        """Show what has happened."""
        ...

    @property
    def congested(self) -> bool:
        """Whether so much is unread that a session should wait in `drain`."""
        ...

    async def drain(self) -> None:
        """Return when it reads on."""
        ...

    async def ask(self, tool_call: ToolCallState, options: Sequence[PermissionOption]) -> str:
        """Return the id of the option that the user chose.

        Raises:
            TurnCancelledError: the user cancelled the turn instead.
            ToolError: nobody can be asked, or the answer is none of the options.
        """
        ...

    async def elicit(self, elicitation: Elicitation) -> Answered:
        """Have the user fill in a form, or visit an address, and return what has become of that.

        Raises:
            TurnCancelledError: the user cancelled the turn instead.
            ToolError: nobody can be asked, or the answer is none.
        """
        ...

    async def read_text_file(self, path: Path) -> str:
        """Return a file as the editor has it, with what is not saved yet."""
        ...

    @property
    def longest_write(self) -> int:
        """Bytes of a file's text, as JSON, that it can take."""
        ...

    async def write_text_file(self, path: Path, text: str) -> None:
        """Let the editor save a file with this text."""
        ...

    async def run_in_terminal(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        *,
        on_terminal: Callable[[str], None],
        on_output: Callable[[str], None],
    ) -> int:
        """Run a program in a terminal of the editor; return its exit code, 128 where a signal ended it.

        `on_output` gets its output at the end. Cancelling kills the program and gives the terminal back first.
        """
        ...
