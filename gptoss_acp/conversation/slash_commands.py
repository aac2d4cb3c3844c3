"""Slash commands: what the user says to the agent itself, in place of a prompt to the model.

Knows every command's name, arguments and answer, and carries it out. Knows nothing about JSON-RPC, nor when a command
is heard: that is the session's part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gptoss_acp.briefing import developer_message
from gptoss_acp.briefing.library import Library
from gptoss_acp.conversation import model
from gptoss_acp.conversation.compaction import CompactionError, Compactor
from gptoss_acp.settings import EFFORTS, MODES, Effort, Mode, as_effort, as_mode
from gptoss_acp.text import clip_line, code_span, json_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gptoss_acp.briefing.prompt_files import CommandFile
    from gptoss_acp.conversation.journal import Journal
    from gptoss_acp.conversation.undo import Undo
    from gptoss_acp.engine.api import Model, Usage
    from gptoss_acp.ledger import Ledger
    from gptoss_acp.protocol.shapes import AvailableCommand
    from gptoss_acp.protocol.updates import Updates

Listed = TypeVar("Listed")

_LONGEST_ARGUMENT = 2_000
_NONE = Library()

_MENTION = r"\[[^\]\n]{0,300}\]\([^)\n]{0,4096}\)"
_BEGINNING = re.compile(rf"\A((?:{_MENTION}\s{{0,9}}){{0,20}})/([A-Za-z0-9][\w-]{{0,63}})(?:\s+|$)")
_ALONE = re.compile(r"\A/[A-Za-z][\w-]{0,50}\Z")


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
    Command("help", "List these commands"),
)
_UNKNOWN = Command("", "")
_BY_NAME = {command.name: command for command in COMMANDS}
NAMES = frozenset(_BY_NAME)

_LONGEST_SHOWN = 200
"""Characters of what others' files say they are for, where a client or `/help` lists them."""

_LONGEST_LIST = 40_000
"""Bytes of a list of commands, which is sent in one line."""


@dataclass(frozen=True, slots=True)
class Given:
    """A command as the user has given it."""

    command: Command
    argument: str


def advertised(library: Library = _NONE) -> list[AvailableCommand]:
    """Return every command in ACP's form, as many of the library's as a line holds."""
    theirs = [
        Command(file.name, f"{clip_line(file.description, _LONGEST_SHOWN)} ({file.origin})", file.hint)
        for file in library.commands
    ]
    return list(_first([_advertised(command) for command in [*COMMANDS, *theirs]]))


def _advertised(command: Command) -> AvailableCommand:
    shown: AvailableCommand = {"name": command.name, "description": command.description}
    return {**shown, "input": {"hint": command.hint}} if command.hint else shown


def _first(every: Sequence[Listed]) -> Iterator[Listed]:
    """Yield of a list as much as fits into a line."""
    room = _LONGEST_LIST
    for one in every:
        if (room := room - json_size(one)) < 0:
            return
        yield one


def read(prompt: str) -> Given | None:
    """Return the command that a prompt begins with, maybe behind mentions, or None where it is for the model.

    What looks like a command but is none is for the model too, unless it is all there is: it may well be a path, or
    another program's command.
    """
    prompt = prompt.strip()
    beginning = _BEGINNING.match(prompt)
    command = _BY_NAME.get(beginning[2].lower()) if beginning else None
    if beginning and command:
        return Given(command, prompt[beginning.end() :])
    return Given(_UNKNOWN, prompt) if _ALONE.match(prompt) and not Path(prompt).exists() else None


def meant(prompt: str) -> str:
    """Return what the model is told: for /init its request, else the prompt itself."""
    given = read(prompt)
    is_init = given is not None and given.command.name == "init" and not given.argument
    return developer_message.request("init") if is_init else prompt


def called(prompt: str, library: Library) -> tuple[CommandFile, str] | None:
    """Return which of the library's commands a prompt begins with, and what is said to it, mentions first."""
    prompt = prompt.strip()
    beginning = _BEGINNING.match(prompt)
    if beginning is None or beginning[2].lower() in NAMES or (file := library.command(beginning[2])) is None:
        return None
    return file, " ".join(filter(None, (beginning[1].strip(), prompt[beginning.end() :])))


def listed(library: Library) -> str:
    """Return every command as Markdown for the user, the library's with where they are."""
    ours = [
        f"- `/{command.name}{f' {command.hint}' if command.hint else ''}`: {command.description}"
        for command in COMMANDS
    ]
    theirs = [_listed_file(file) for file in library.commands]
    shown = list(_first([*ours, *theirs]))
    left_out = len(ours) + len(theirs) - len(shown)
    return "\n".join([*shown, f"\n{left_out:,} more are not shown."] if left_out else shown)


def _listed_file(file: CommandFile) -> str:
    # Nothing in them is Markdown, which might show a picture from afar.
    what = code_span(clip_line(file.description, _LONGEST_SHOWN))
    return f"- {code_span(f'/{file.name} {file.hint}')}: {what} ({file.origin}, {code_span(str(file.file))})"


class Options(Protocol):
    """What the user can set for a session."""

    @property
    def mode(self) -> Mode: ...

    @property
    def effort(self) -> Effort: ...

    @property
    def commands_run(self) -> str: ...

    @property
    def background(self) -> Sequence[str]: ...

    @property
    def library(self) -> Library: ...

    def set_mode(self, mode: Mode) -> None: ...

    def set_effort(self, effort: Effort) -> None: ...

    def config_options(self) -> list[dict[str, Any]]: ...


@dataclass(slots=True)
class Commands:
    """The commands of one session and what they work on. `last_turn`: what its model calls took."""

    engine: Model
    updates: Updates
    compactor: Compactor
    journal: Journal
    undo: Undo
    options: Options
    last_turn: Usage | None = None

    @property
    def _ledger(self) -> Ledger:
        return self.journal.ledger

    async def obey(self, given: Given, usage: Usage) -> str:
        """Carry out a command and return what to answer. What model calls take is added to `usage`.

        Raises:
            EngineError: the model could not be loaded.
            TurnCancelledError: the user cancelled when asked for permission.
        """
        argument = given.argument
        if given.command is _UNKNOWN:
            return f"There is no command {argument}.\n{listed(self.options.library)}"
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
                answer = await self.undo.take_back()
            case "mode":
                answer = self._mode(argument)
            case "help":
                answer = listed(self.options.library)
            case _:
                answer = self._effort(argument)
        return answer

    async def _compact(self, keep: str, usage: Usage) -> str:
        await model.load(self.engine, self.updates)
        before = self._ledger.length
        try:
            await self.compactor.compact(usage, keep[:_LONGEST_ARGUMENT])
        except CompactionError as error:
            return f"The conversation was not compacted. {error}"
        self.engine.read_ahead(self._ledger.tokens())
        return f"The conversation is compacted: {before:,} tokens before, {self._ledger.length:,} after."

    def _clear(self) -> str:
        self.journal.forget_all()
        if context := self.engine.context_length:
            self.updates.usage(self._ledger.length, context)
        return "The conversation is cleared: the model remembers nothing of it. Files stay as they are."

    def _status(self) -> str:
        engine, used = self.engine, self._ledger.length
        context = engine.context_length
        if context:
            self.updates.usage(used, context)
        lines = [
            f"Model: {engine.model_name}" + ("" if context else ", not loaded yet"),
            f"Context: {used:,} of {context:,} tokens used, {used / context:.0%}" if context else f"Context: {used:,}",
            f"Mode: {self.options.mode}; effort: {self.options.effort}",
            f"Commands: {self.options.commands_run}",
            *(f"In the background: {program}" for program in self.options.background),
        ]
        if last := self.last_turn:
            speed = f"{last.tokens_per_second:.1f} tokens/s" if last.tokens_per_second else "no speed measured"
            lines.append(f"Last turn: {speed}; {_share(last)}")
        if engine.machines:
            lines.append(f"Machines: {engine.machines}")
        if engine.memory_bytes:
            lines.append(f"Memory: {engine.memory_bytes / 1e9:.2f} GB for the model and its contexts")
        return "\n".join(f"- {line}" for line in lines)

    def _mode(self, name: str) -> str:
        mode = as_mode(name)
        if mode is None:
            problem = f"There is no mode {name[:50]!r}. " if name else ""
            modes = "\n".join(f"- `{mode}`: {description}" for mode, (_, description) in MODES.items())
            return f"{problem}The mode is {self.options.mode}. Send `/mode` with one of these to change it:\n{modes}"
        self.options.set_mode(mode)
        self.updates.mode(mode)
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
        self.updates.config_options(self.options.config_options())


def _share(usage: Usage) -> str:
    if not usage.input_tokens:
        return "nothing read"
    cached = usage.cached_tokens / usage.input_tokens
    return f"{usage.cached_tokens:,} of {usage.input_tokens:,} prompt tokens ({cached:.0%}) were in the cache"
