"""Slash commands: what the user says to the agent itself, in place of a prompt to the model.

Knows every command's name, arguments and answer, and carries it out. Knows nothing about JSON-RPC, nor when a command
is heard: that is the session's part.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gptoss_acp.briefing import developer_message
from gptoss_acp.conversation import loading
from gptoss_acp.conversation.compaction import CompactionError, Compactor
from gptoss_acp.engine.api import Usage
from gptoss_acp.errors import ToolError
from gptoss_acp.harmony.render import FunctionTool
from gptoss_acp.protocol.config_options import EFFORTS, as_effort
from gptoss_acp.settings import Effort, Mode
from gptoss_acp.text import clip_line
from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.tools.call import Call
from gptoss_acp.tools.permissions import MODES, Permissions, as_mode
from gptoss_acp.tools.registry import Tool
from gptoss_acp.tools.runner import Toolbox
from gptoss_acp.workspace.files import Change
from gptoss_acp.workspace.workspace import Workspace

UNDOABLE_TURNS = 20
"""How many turns back /undo reaches; each keeps its files' texts in memory."""

_LONGEST_ARGUMENT = 2_000
_LONGEST_NAMES = 1_000

_BEGINNING = re.compile(r"/([a-z]+)(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Command:
    """A command as clients show it; `hint` says what may follow its name, None that nothing may."""

    name: str
    description: str
    hint: str | None = None


COMMANDS = (
    Command("compact", "Replace the conversation by a summary of it", "what to keep in mind"),
    Command("clear", "Forget the conversation"),
    Command("status", "Show the model, the context used, speed and memory"),
    Command("undo", "Take back the file changes of the last turn that made any"),
    Command("init", "Let the model write an AGENTS.md for this repository"),
    Command("mode", "Show or set what the agent may do without asking", " | ".join(MODES)),
    Command("effort", "Set how hard the model thinks", " | ".join(EFFORTS)),
)
_BY_NAME = {command.name: command for command in COMMANDS}


@dataclass(frozen=True, slots=True)
class Given:
    """A command as the user has given it."""

    command: Command
    argument: str


def advertised() -> list[dict[str, Any]]:
    """Return every command in ACP's form, `AvailableCommand`."""
    return [
        {"name": command.name, "description": command.description}
        | ({"input": {"hint": command.hint}} if command.hint else {})
        for command in COMMANDS
    ]


def read(prompt: str) -> Given | None:
    """Return the command that a prompt begins with, or None where it is for the model.

    What looks like a command but is none is for the model too: it may well be a path, or another program's command.
    """
    beginning = _BEGINNING.match(prompt)
    command = _BY_NAME.get(beginning[1]) if beginning else None
    return Given(command, prompt[beginning.end() :].strip()) if beginning and command else None


def meant(prompt: str) -> str:
    """Return what the model is told: for /init its request, else the prompt itself."""
    given = read(prompt)
    is_init = given is not None and given.command.name == "init" and not given.argument
    return developer_message.request("init") if is_init else prompt


async def _nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the model will be told: a text, and what `attached` then reads to come after it."""

    text: str
    attached: Callable[[], Awaitable[str]] = _nothing


class Options(Protocol):
    """What the user can set for a session."""

    @property
    def mode(self) -> Mode: ...

    @property
    def effort(self) -> Effort: ...

    def set_mode(self, mode: Mode) -> None: ...

    def set_effort(self, effort: Effort) -> None: ...

    def config_options(self) -> list[dict[str, Any]]: ...


@dataclass(slots=True)
class Commands:
    """The commands of one session and what they work on.

    `unheard`: what the model will be told with the next prompt. `undoable`: by turn, what would take back its file
    changes, the last turn's last; `forget` is told a turn whose changes are taken back. `last_turn`: what its model
    calls took.
    """

    compactor: Compactor
    workspace: Workspace
    permissions: Permissions
    options: Options
    unheard: list[Heard]
    undoable: dict[str, list[Change]]
    forget: Callable[[str], None]
    last_turn: Usage | None = None

    def note_turn(self, turn: str, usage: Usage, changes: list[Change]) -> None:
        """Take note of a turn that has ended, however it did."""
        self.last_turn = usage
        if back := taken_back(changes):
            self.undoable[turn] = back
        while len(self.undoable) > UNDOABLE_TURNS:
            del self.undoable[next(iter(self.undoable))]

    async def obey(self, given: Given, usage: Usage) -> str:
        """Carry out a command and return what to answer. What model calls take is added to `usage`.

        Raises:
            EngineError: the model could not be loaded.
            TurnCancelledError: the user cancelled when asked for permission.
        """
        argument = given.argument
        if argument and given.command.hint is None:
            return f"/{given.command.name} takes no argument. Send just `/{given.command.name}`."
        match given.command.name:
            case "compact":
                answer = await self._compact(argument, usage)
            case "clear":
                answer = self._clear()
            case "status":
                answer = self._status()
            case "undo":
                answer = await self._undo()
            case "mode":
                answer = self._mode(argument)
            case _:
                answer = self._effort(argument)
        return answer

    async def _compact(self, keep: str, usage: Usage) -> str:
        compactor = self.compactor
        await loading.load(compactor.engine, compactor.updates)
        before = compactor.ledger.length
        try:
            await compactor.compact(usage, keep[:_LONGEST_ARGUMENT])
        except CompactionError as error:
            return f"The conversation was not compacted. {error}"
        compactor.engine.read_ahead(compactor.ledger.tokens())
        return f"The conversation is compacted: {before:,} tokens before, {compactor.ledger.length:,} after."

    def _clear(self) -> str:
        compactor = self.compactor
        compactor.ledger.entries = []
        self.unheard.clear()
        if context := compactor.engine.context_length:
            compactor.updates.usage(compactor.ledger.length, context)
        return "The conversation is cleared: the model remembers nothing of it. Files stay as they are."

    def _status(self) -> str:
        engine, used = self.compactor.engine, self.compactor.ledger.length
        context = engine.context_length
        lines = [
            f"Model: {engine.model_name}" + ("" if context else ", not loaded yet"),
            f"Context: {used:,} of {context:,} tokens used, {used / context:.0%}" if context else f"Context: {used:,}",
            f"Mode: {self.options.mode}; effort: {self.options.effort}",
        ]
        if last := self.last_turn:
            speed = f"{last.tokens_per_second:.1f} tokens/s" if last.tokens_per_second else "no speed measured"
            lines.append(f"Last turn: {speed}; {_share(last)}")
        if engine.memory_bytes:
            lines.append(f"Memory: {engine.memory_bytes / 1e9:.2f} GB for the model and its contexts")
        return "\n".join(f"- {line}" for line in lines)

    async def _undo(self) -> str:
        if not self.undoable:
            return "There is nothing to take back: no file was changed by apply_patch."
        turn, changes = next(reversed(self.undoable.items()))
        # A process that was killed may have been about to make them.
        changes = [change for change in changes if await self.workspace.read_if_there(change.path) != change.after]
        if not changes:
            self._forget(turn)
            return "Of the last changes nothing is left to take back. Send `/undo` again for those before."
        described = FunctionTool("undo", "", {"type": "object"})
        tool = Tool(described, self._undoing(changes), Arguments.of, "edit", "Undo the last changes")
        toolbox = Toolbox(self.workspace, self.permissions, self.compactor.updates, [tool])
        result = await toolbox.announce("functions.undo").run("{}")
        if not toolbox.changes:
            return f"Nothing was taken back: {result.removeprefix('Error: ')}"
        self._forget(turn)
        # The model takes its changes for made until it is told.
        names = clip_line(", ".join(self._shown(change.path) for change in changes), _LONGEST_NAMES)
        self.unheard.append(Heard(f"I have taken back your last changes to these files: {names}"))
        return result

    def _forget(self, turn: str) -> None:
        del self.undoable[turn]
        self.forget(turn)

    def _undoing(self, changes: Sequence[Change]) -> Callable[[Any, Call], Awaitable[str]]:
        async def undo(_: Arguments, call: Call) -> str:
            changed = [
                self._shown(change.path)
                for change in changes
                if await self.workspace.read_if_there(change.path) != change.before
            ]
            if changed:
                names = clip_line(", ".join(changed), _LONGEST_NAMES)
                raise ToolError(f"changed since then: {names}")
            await call.edit(changes)
            lines = [
                f"- {self._shown(change.path)}: {'removed' if change.after is None else 'as before'}"
                for change in changes
            ]
            return "\n".join(["Took back the file changes of the last turn that made any:", *lines])

        return undo

    def _mode(self, name: str) -> str:
        mode = as_mode(name)
        if mode is None:
            problem = f"There is no mode {name[:50]!r}. " if name else ""
            modes = "\n".join(f"- `{mode}`: {description}" for mode, (_, description) in MODES.items())
            return f"{problem}The mode is {self.options.mode}. Send `/mode` with one of these to change it:\n{modes}"
        self.options.set_mode(mode)
        self.compactor.updates.mode(mode)
        self._tell_options()
        return f"The mode is {mode}: {MODES[mode][1]}."

    def _effort(self, name: str) -> str:
        effort = as_effort(name)
        if effort is None:
            problem = f"There is no effort {name[:50]!r}. " if name else ""
            return (
                f"{problem}The effort is {self.options.effort}. Send `/effort low`, `/effort medium` or `/effort high`."
            )
        self.options.set_effort(effort)
        self._tell_options()
        return f"The effort is {effort}."

    def _tell_options(self) -> None:
        self.compactor.updates.config_options(self.options.config_options())

    def _shown(self, path: Path) -> str:
        return self.workspace.roots.shown(path)


def taken_back(changes: Sequence[Change]) -> list[Change]:
    """Return what takes back `changes`, made one after another: one change a file, new files before those that go."""
    net: dict[Path, Change] = {}
    for change in changes:
        back = change.reversed()
        if earlier := net.get(change.path):
            mode = back.mode if earlier.mode is None else earlier.mode
            back = Change(change.path, back.before, earlier.after, mode=mode)
        net[change.path] = back
    changed = [change for change in net.values() if change.before != change.after]
    return sorted(changed, key=lambda change: change.after is None)


def _share(usage: Usage) -> str:
    if not usage.input_tokens:
        return "nothing read"
    cached = usage.cached_tokens / usage.input_tokens
    return f"{usage.cached_tokens:,} of {usage.input_tokens:,} prompt tokens ({cached:.0%}) were in the cache"
