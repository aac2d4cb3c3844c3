"""One tool call, as the function that carries it out sees it: the only door to files and commands.

Every door asks the permissions first, and the user where they say so. What happens is shown in the editor, within
bounds. Knows ACP's tool calls. Knows nothing about Harmony, nor which tools there are.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Unpack

from gptoss_acp.errors import ToolError
from gptoss_acp.protocol.shapes import (
    Content,
    Location,
    PermissionOption,
    PlanEntry,
    ToolCallContent,
    ToolCallFields,
    ToolCallState,
    text_content,
)
from gptoss_acp.text import HeadAndTail, clip_line, fit, json_size
from gptoss_acp.tools.permissions import Action, Ask, Edit, Permissions, Read, Refused, Run, Use
from gptoss_acp.workspace import diffs, files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from gptoss_acp.protocol.updates import Updates
    from gptoss_acp.workspace.files import Change
    from gptoss_acp.workspace.workspace import Workspace

STREAM_SECONDS = 0.1
"""Between two updates with a running command's output."""

_LONGEST_TITLE = 200
_LONGEST_NAME = 1_000
_LONGEST_FIELD = 12_000
_LONGEST_STREAM = 8_000


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
    line each.
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
    _content: Sequence[ToolCallContent] = field(default_factory=list)
    _running: bool = False
    _ended: bool = False

    # What a tool does

    async def look(self, path: str) -> Path:
        """Return the resolved `path`, once it may be read."""
        real = self.workspace.roots.resolve(path)
        await self._permit(Read(real, self.workspace.roots.contain(real)))
        return real

    async def read_to_edit(self, path: str) -> tuple[Path, str | None]:
        """Return the resolved `path` and its text, None where there is no such file, if it may be changed at all."""
        real = self.workspace.roots.resolve(path)
        verdict = self.permissions.judge(self._editing([real]))
        if isinstance(verdict, Refused):
            raise ToolError(verdict.reason)
        return real, await self.workspace.read_if_there(real)

    def link_target(self, path: str) -> str | None:
        """Return where `path` leads if it is itself a symlink, which an edit of it would not touch."""
        roots = self.workspace.roots
        return roots.shown(roots.resolve(path)) if roots.is_link(path) else None

    async def edit(self, changes: Sequence[Change]) -> None:
        """Show what would change, and make every change or none."""
        self._content = await asyncio.to_thread(diffs.contents, changes)
        self.show(locations=await asyncio.to_thread(diffs.locations, changes), content=self._content)
        await self._permit(self._editing([change.path for change in changes]))
        # Noted while the files are there: what is deleted now may be wanted back as it was.
        changes = [
            replace(change, mode=files.mode_of(change.path)) if change.after is None else change for change in changes
        ]
        if self.before_changes is not None:
            await self.before_changes(changes)
        self.changes += await self.workspace.commit(changes)

    async def run(self, command: Sequence[str], workdir: str, seconds: float) -> Finished:
        """Run a program, shown while it runs, for so many seconds at most.

        Raises:
            ToolError: it may not be run, or can't be.
        """
        cwd = self.workspace.roots.resolve(workdir)
        line = shlex.join(command)
        if json_size(line) + 2 * line.count("`") > _LONGEST_FIELD - 100:
            # Nobody shall allow what they can't see in full.
            raise ToolError("the command is too long; write it to a file with apply_patch and run that")
        await self._permit(Run(tuple(command), cwd))
        stream = _Stream(self, self.longest_output)
        code = None
        try:
            async with asyncio.timeout(seconds):
                code = await self.workspace.run(command, cwd, self._show_terminal, stream.add)
        except TimeoutError:
            pass
        finally:
            stream.finish()
        return Finished(code, str(stream.kept))

    async def use(self, tool: str, *, reads_only: bool) -> None:
        """Return once the tool of an MCP server may be called."""
        await self._permit(Use(tool, reads_only))

    def _editing(self, paths: Sequence[Path]) -> Edit:
        roots = self.workspace.roots
        return Edit(tuple(paths), tuple(path for path in paths if not roots.contain(path)))

    # What the editor shows

    def describe(self, title: str, *, kind: str | None = None, locations: Sequence[Location] = ()) -> None:
        """Say what the call is about, now that it is known."""
        self.title = clip_line(title, _LONGEST_TITLE)
        self.kind = kind or self.kind
        fields: ToolCallFields = {"title": self.title, "kind": self.kind}
        self.show(**({**fields, "locations": locations} if locations else fields))

    def describe_command(self, line: str, workdir: str, language: str = "sh") -> None:
        """Show a command in full, however long: the user decides on what they see."""
        cwd = self.workspace.roots.shown(self.workspace.roots.resolve(workdir))
        title = line if cwd == "." else f"{line} (in {cwd})"
        self.describe(title)
        if self.title != title:
            fence = "`" * max(3, line.count("`") + 1)
            self._content = [_text(f"{fence}{language}\n{line}\n{fence}")]
            self.show(content=self._content)

    def location(self, real: Path, line: int | None = None) -> Location:
        return {"path": str(real)} if line is None else {"path": str(real), "line": line}

    def show(self, **fields: Unpack[ToolCallFields]) -> None:
        """Update the tool call in the editor."""
        self.updates.tool_call_update(self.identifier, **fields)

    def show_plan(self, entries: Sequence[PlanEntry]) -> None:
        self.updates.plan(fit(list(entries), _LONGEST_FIELD))

    def started(self, arguments: Any) -> None:
        """Show the arguments, now that they are known."""
        self.raw_input = fit(arguments, _LONGEST_FIELD)
        self.show(rawInput=self.raw_input)

    def finished(self, result: Result) -> None:
        """Show how the call has ended, the first time: beside a diff, a terminal or output that it has shown."""
        if self._ended:
            return
        self._ended = True
        fields: ToolCallFields = {"status": "failed" if result.failed else "completed"}
        if not self._content or (result.failed and result.raw is None):
            fields["content"] = [*self._content, _text(result.text)]
        raw = {"result": result.text} if result.raw is None else result.raw
        fields["rawOutput"] = fit(raw, _LONGEST_FIELD)
        self.show(**fields)

    def show_output(self, text: str) -> None:
        """Show a running command's output, unless its terminal does."""
        if any(content["type"] == "terminal" for content in self._content):
            return
        self._content = [_text(text)]
        self.show(content=self._content)

    def _show_terminal(self, terminal: str) -> None:
        self._content = [{"type": "terminal", "terminalId": terminal}]
        self.show(content=self._content)

    # Permission

    async def _permit(self, action: Action) -> None:
        verdict = self.permissions.judge(action)
        if isinstance(verdict, Refused):
            raise ToolError(verdict.reason)
        if isinstance(verdict, Ask):
            await self._ask(verdict)
        if not self._running:
            self._running = True
            self.show(status="in_progress")

    async def _ask(self, ask: Ask) -> None:
        tool_call: ToolCallState = {
            "toolCallId": self.identifier,
            "title": self.title,
            "kind": self.kind,
            "status": "pending",
            "rawInput": self.raw_input,
        }
        if self._content:
            tool_call["content"] = self._content
        options: list[PermissionOption] = [
            {"optionId": "allow-once", "name": "Allow once", "kind": "allow_once"},
            {"optionId": "allow-always", "name": clip_line(ask.always, _LONGEST_NAME), "kind": "allow_always"},
            {"optionId": "reject-once", "name": "Reject", "kind": "reject_once"},
        ]
        chosen = await self.workspace.face.ask(tool_call, options)
        if chosen == "allow-always":
            self.permissions.grant(ask)
        elif chosen != "allow-once":
            raise ToolError("the user did not allow it")


class _Stream:
    """A running command's output: kept within bounds, shown now and then."""

    def __init__(self, call: Call, limit: int) -> None:
        self.kept = HeadAndTail(limit)
        self._call = call
        self._shown = HeadAndTail(_LONGEST_STREAM)
        self._next = 0.0
        self._unshown = False

    def add(self, text: str) -> None:
        self.kept.add(text)
        self._shown.add(text)
        self._unshown = True
        if time.monotonic() >= self._next and not self._call.updates.congested:
            self._show()

    def finish(self) -> None:
        if self._unshown:
            self._show()

    def _show(self) -> None:
        self._next = time.monotonic() + STREAM_SECONDS
        self._unshown = False
        self._call.show_output(str(self._shown))


def _text(text: str) -> Content:
    return text_content(fit(text, _LONGEST_FIELD))
