"""One tool call, as the function that carries it out sees it: the only door to files and commands.

Every door asks the permissions first, and the user where they say so. What happens is shown in the editor, within
bounds. Knows ACP's tool calls. Knows nothing about Harmony, nor which tools there are.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from gptoss_acp.errors import ToolError
from gptoss_acp.protocol.shapes import (
    Location,
    PlanEntry,
    ToolCallContent,
    ToolCallFields,
    ToolCallState,
    text_content,
)
from gptoss_acp.shielding import unharmed
from gptoss_acp.text import clip_line, code_span, fenced, fit, json_size, visible, visible_in
from gptoss_acp.tools import question
from gptoss_acp.tools.command_output import CommandOutput
from gptoss_acp.tools.forms import filled_in
from gptoss_acp.tools.permissions import Action, Ask, Edit, Permissions, Read, Refused, Run, RunFreely, Use
from gptoss_acp.tools.question import Question
from gptoss_acp.workspace import diffs, files, kept
from gptoss_acp.workspace.encodings import UTF_8
from gptoss_acp.workspace.mechanisms import NOT_SANDBOXED
from gptoss_acp.workspace.view import Limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from gptoss_acp.protocol.face import Answered
    from gptoss_acp.protocol.shapes import Elicitation
    from gptoss_acp.protocol.updates import Updates
    from gptoss_acp.workspace.background import Program
    from gptoss_acp.workspace.edits import Change
    from gptoss_acp.workspace.encodings import Encoding
    from gptoss_acp.workspace.files import Blob
    from gptoss_acp.workspace.workspace import Workspace

STREAM_SECONDS = 0.1
"""Between two updates with a running command's output."""

_LONGEST_FIELD = 12_000


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended; `code` is None where the time limit ended it."""

    code: int | None
    output: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool answers to the model, and to the editor as `rawOutput` if that differs."""

    text: str
    raw: dict[str, Any] | None = None
    failed: bool = False


@dataclass(slots=True)
class Call:
    """One tool call of a session.

    `changes` are those that it has made to files; it awaits `before_changes` first. `notes` come behind its result, a
    line each. `language` is that of its result's text, as Markdown calls it.
    """

    identifier: str
    workspace: Workspace
    permissions: Permissions
    updates: Updates
    title: str
    kind: str
    longest_output: int
    raw_input: Any = None
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    before_changes: Callable[[Sequence[Change]], Awaitable[None]] | None = None
    language: str = ""
    _whole_title: str = ""
    _content: Sequence[ToolCallContent] = field(default_factory=list)
    _question: Question = field(default_factory=Question)
    _raw_is_whole: bool = True
    _command: tuple[str, str] = ("", "")
    _where: str = ""
    _running: bool = False
    _ended: bool = False

    # What a tool does

    async def look(self, path: str) -> Path:
        """Return the resolved `path`, once it may be read."""
        roots = self.workspace.roots
        real = roots.resolve(path)
        self._question = question.of_reading(roots.absolute(path), real)
        inside = roots.hold(path, real) or self.workspace.readable.hold(Path(roots.absolute(path)), real)
        await self._permit(Read(real, inside))
        self._note_instructions(real)
        return real

    async def identify(self, real: Path) -> Blob:
        """Return what tells a file that may be changed from others, whatever it holds."""
        return await self.workspace.identify(real)

    async def read_to_edit(self, path: str) -> tuple[Path, str | Blob | None, Encoding]:
        """Return the resolved `path`, what is there, None for no file, and how it is encoded, if it may be changed."""
        roots = self.workspace.roots
        real = roots.resolve(path)
        verdict = self.permissions.judge(Edit(() if roots.hold(path, real) else (roots.shown(real),)))
        if isinstance(verdict, Refused):
            raise ToolError(verdict.reason)
        return real, *await self.workspace.content(real)

    def is_link(self, path: str) -> bool:
        """Whether `path` is itself a symlink, which an edit of it would not touch."""
        return self.workspace.roots.is_link(path)

    def protected(self, paths: Sequence[str]) -> dict[str, str]:
        """Return those of the paths that would be written which are run or obeyed by others, and as what."""
        return self.workspace.protected(paths)

    async def edit(self, changes: Sequence[Change], written: Sequence[str] = ()) -> None:
        """Show what would change, and make every change or none. `written` is how the model has named the files."""
        shown = await asyncio.to_thread(diffs.shown, changes)
        self._content, self._question = shown.contents, question.of_changes(shown)
        self.show(locations=await asyncio.to_thread(diffs.locations, changes), content=self._content)
        await self._permit(self._editing(changes, written))
        for change in changes:
            self._note_instructions(change.path)
        # Noted while the files are there: what is deleted now may be wanted back as it was.
        changes = [
            replace(change, mode=files.mode_of(change.path)) if change.after is None else change for change in changes
        ]
        changes = await self._keep(changes)
        if self.before_changes is not None:
            await self.before_changes(changes)
        made = await self.workspace.commit(changes)
        self.changes += made
        named = self.workspace.roots.shown
        self.notes += [
            f"({named(change.path)} is not on the disk: the editor has not saved it yet, or has written elsewhere)"
            for change in made
            if change.unsaved
        ]
        self.notes += [
            f"({named(change.path)} is written in {change.encoding})"
            for change in made
            if change.new_text is not None and change.encoding != UTF_8
        ]
        self.notes += [
            f"({named(change.path)} was {change.blob}; /undo can bring it back for {kept.DAYS} days)"
            for change in made
            if change.after is None and change.blob and change.path not in {other.moved_from for other in made}
        ]
        self.permissions.note_changed([change.path for change in changes])

    async def run(self, command: Sequence[str], workdir: str, seconds: float) -> Finished:
        """Run a program that was described, shown while it runs, for so many seconds at most.

        It runs in the sandbox where there is one; what fails there because of that may run again outside.

        Raises:
            ToolError: it may not be run, or can't be.
        """
        cwd, limits = await self._permit_to_run(command, workdir)
        finished = await self._run(command, cwd, limits, seconds)
        stopped = self.workspace.sandbox.what_stopped
        if limits and limits.writes and finished.code and (why := stopped(finished.output)):
            return await self._run_freely(command, cwd, seconds, finished, why)
        return finished

    async def start(self, line: str, command: Sequence[str], workdir: str) -> Program:
        """Start a program that was described and goes on in the background, in the sandbox where there is one.

        Raises:
            ToolError: it may not be run, or can't be.
        """
        cwd, limits = await self._permit_to_run(command, workdir, background=True)
        return await self.workspace.start(line, command, cwd, limits)

    async def tidied(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what work in the sandbox comes to; what it has put into protected places is moved aside."""
        self.workspace.note_begin()
        try:
            return await work
        finally:
            self.notes += await unharmed(self.workspace.tidy())

    async def _permit_to_run(
        self, command: Sequence[str], workdir: str, *, background: bool = False
    ) -> tuple[Path, Limits | None]:
        """Return the folder in which a command may run, and within which limits of a sandbox, if any."""
        if any("\0" in word for word in command):
            raise ToolError("the command holds a null character, which no program can be given")
        roots = self.workspace.roots
        cwd = roots.resolve(workdir)
        await self.workspace.prepare_to_run()
        sandbox, mode = self.workspace.sandbox, self.permissions.mode
        kind = "none" if mode == "full-access" else sandbox.kind
        limits = Limits(writes=mode != "read-only") if kind != "none" else None
        conditions = [sandbox.said(limits), *([question.IN_BACKGROUND] if background else [])]
        self._where = question.folder(roots.shown(cwd), roots.absolute(workdir), cwd)
        self._question = question.of_command(*self._command, self._where, *conditions)
        if json_size(line := shlex.join(command)) + 2 * line.count("`") > _LONGEST_FIELD - 100:
            raise ToolError(self._question.advice)
        chosen = await self._permit(Run(tuple(command), cwd, kind, background))
        return cwd, replace(limits, network=chosen == question.WITH_NETWORK) if limits else None

    async def _run_freely(
        self, command: Sequence[str], cwd: Path, seconds: float, finished: Finished, why: str
    ) -> Finished:
        self._question = question.of_command(
            *self._command, self._where, NOT_SANDBOXED, f"in the sandbox it failed: {code_span(why)}"
        )
        self._content = []
        try:
            await self._permit(RunFreely(tuple(command), cwd))
        except ToolError as error:
            self.notes.append(f"(it ran in a sandbox, which is why it failed: {why[:200]}; outside of it {error})")
            return finished
        return await self._run(command, cwd, None, seconds)

    async def _run(self, command: Sequence[str], cwd: Path, limits: Limits | None, seconds: float) -> Finished:
        stream = _Stream(self, self.longest_output)
        code = None
        try:
            async with asyncio.timeout(seconds):
                code = await self.workspace.run(command, cwd, limits, self._show_terminal, stream.add)
        except TimeoutError:
            pass
        finally:
            output = stream.finish()
            if limits:
                self.notes += await unharmed(self.workspace.tidy())
        return Finished(code, output)

    async def elicit(self, elicitation: Elicitation) -> Answered:
        """Ask the user for what nobody else knows; whatever is answered, it allows nothing.

        Raises:
            ToolError: it is too much to be shown whole, or the answer is not what was asked for.
        """
        question.refuse_longer(elicitation)
        if elicitation["mode"] not in self.workspace.face.capabilities.elicitation_modes:
            raise ToolError(f"the user's editor shows no elicitations of the mode {elicitation['mode']}")
        self._note_running()
        asked = elicitation.copy()
        asked["toolCallId"] = self.identifier
        answered = await self.workspace.face.elicit(asked)
        if elicitation["mode"] == "form" and answered.action == "accept":
            question.refuse_longer(answered.content, "the form was filled in with more than can be looked through")
            # In a thread, for a long list takes long to be checked.
            content = await asyncio.to_thread(filled_in, answered.content, elicitation["requestedSchema"])
            return replace(answered, content=content)
        return answered

    async def use(self, tool: str, arguments: Any, *, reads_only: bool) -> None:
        """Return once the tool of an MCP server may be called with these arguments."""
        self._question = question.of_use(arguments)
        await self._permit(Use(tool, reads_only))

    def _note_instructions(self, real: Path) -> None:
        """Name the instructions for agents that hold where this is, and that the model has not been told of."""
        for file in self.workspace.untold_instructions(real):
            self.notes.append(f"(for what is in this folder {self.workspace.roots.shown(file)} holds too; read it)")

    async def _keep(self, changes: Sequence[Change]) -> list[Change]:
        """Return changes as they can be undone: what is no text is kept, or to be found where it has moved to."""
        targets = {change.moved_from: change.path for change in changes if change.blob and change.moved_from}
        return [await self.workspace.keep(change, targets.get(change.path)) for change in changes]

    def _editing(self, changes: Sequence[Change], written: Sequence[str]) -> Edit:
        roots = self.workspace.roots
        paths = [change.path for change in changes]
        places = list(self.protected([*written, *map(str, paths)]).values())
        if any(change.relies_on_guess for change in changes):
            places.append(question.GUESSED)
        outside = tuple(roots.shown(path) for path in paths if not roots.contain(path))
        return Edit(outside, tuple(dict.fromkeys(places)))

    # What the editor shows

    def describe(
        self, title: str, *, kind: str | None = None, locations: Sequence[Location] = (), least: int = 0
    ) -> None:
        """Say what the call is about, now that it is known; of a long title `least` characters are shown at least."""
        self._whole_title = visible(title)
        self.title = clip_line(self._whole_title, max(question.LONGEST_TITLE, min(least, _LONGEST_FIELD // 8)))
        self.kind = kind or self.kind
        fields: ToolCallFields = {"title": self.title, "kind": self.kind}
        self.show(**({**fields, "locations": locations} if locations else fields))

    def describe_command(self, line: str, language: str = "sh") -> None:
        """Show a command; the question about it shows all of it, and on other lines where and how it would run."""
        self.describe(line)
        self._whole_title = self.title  # the question says the rest
        self._command = line, language

    def location(self, real: Path, line: int | None = None) -> Location:
        return {"path": str(real)} if line is None else {"path": str(real), "line": line}

    def show(self, **fields: Unpack[ToolCallFields]) -> None:
        """Update the tool call in the editor."""
        self.updates.tool_call_update(self.identifier, **fields)

    def show_plan(self, entries: Sequence[PlanEntry]) -> None:
        self.updates.plan(fit(list(entries), _LONGEST_FIELD))

    def started(self, arguments: Any) -> None:
        """Show the arguments, now that they are known."""
        whole = visible_in(arguments)
        self.raw_input = fit(whole, _LONGEST_FIELD)
        self._raw_is_whole = self.raw_input == whole
        self.show(rawInput=self.raw_input)

    def finished(self, result: Result) -> None:
        """Show how the call has ended, the first time: beside a diff, a terminal or output that it has shown."""
        if self._ended:
            return
        self._ended = True
        fields: ToolCallFields = {"status": "failed" if result.failed else "completed"}
        # All of it again: some editors show only what comes with the end.
        fields["content"] = list(self._content)
        if not self._content or (result.failed and result.raw is None):
            text = fit(result.text, _LONGEST_FIELD)
            shown = text if result.failed else fenced(text, self.language)
            fields["content"] = [*self._content, text_content(shown)]
        raw = {"result": result.text} if result.raw is None else result.raw
        fields["rawOutput"] = fit(raw, _LONGEST_FIELD)
        self.show(**fields)

    def show_output(self, text: str) -> None:
        """Show a running command's output, unless its terminal does."""
        if any(content["type"] == "terminal" for content in self._content):
            return
        self._content = [text_content(fenced(fit(text, _LONGEST_FIELD)))] if text else []
        self.show(content=self._content)

    def _show_terminal(self, terminal: str) -> None:
        self._content = [{"type": "terminal", "terminalId": terminal}]
        self.show(content=self._content)

    # Permission

    async def _permit(self, action: Action) -> str:
        """Return which of the answers has allowed an action; where nobody need be asked, the least of them."""
        verdict = self.permissions.judge(action)
        if isinstance(verdict, Refused):
            raise ToolError(verdict.reason)
        chosen = await self._ask(verdict) if isinstance(verdict, Ask) else question.ONCE
        self._note_running()
        return chosen

    def _note_running(self) -> None:
        if not self._running:
            self._running = True
            self.show(status="in_progress")

    async def _ask(self, ask: Ask) -> str:
        fields: ToolCallState = {"toolCallId": self.identifier, "title": self.title, "kind": self.kind}
        if self._raw_is_whole:
            fields["rawInput"] = self.raw_input
        state = self._question.state(fields, self._whole_title or self.title)
        face = self.workspace.face
        chosen = await face.ask(state, question.options(ask, told_apart=face.capabilities.tells_options_apart))
        if chosen == question.ALWAYS:
            self.permissions.grant(ask)
        elif chosen == question.REJECT:
            raise ToolError("the user did not allow it")
        return chosen


class _Stream:
    """A running command's output: shown now and then."""

    def __init__(self, call: Call, limit: int) -> None:
        self._output = CommandOutput(limit, call.workspace.new_temporary_file)
        self._call = call
        self._next = 0.0
        self._unshown = False

    def add(self, text: str) -> None:
        self._output.add(text)
        self._unshown = True
        if time.monotonic() >= self._next and not self._call.updates.congested:
            self._show()

    def finish(self) -> str:
        """Return what is kept of the output; the call's notes say where the rest is."""
        if self._unshown:
            self._show()
        text, file = self._output.finish(), self._output.file
        if file is not None:
            part = "all" if self._output.file_is_whole else "the first part"
            self._call.notes.append(f"({part} of the output is in {self._call.workspace.roots.shown(file)})")
        return text

    def _show(self) -> None:
        self._next = time.monotonic() + STREAM_SECONDS
        self._unshown = False
        self._call.show_output(self._output.latest())
