"""The tools that act: apply_patch, shell, update_plan."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.tools.call import Call, Result
from gptoss_acp.tools.patch import hunks
from gptoss_acp.tools.patch.parse import Operation, PatchError, parse
from gptoss_acp.workspace.files import Change

DEFAULT_TIMEOUT_MS = 120_000
LONGEST_TIMEOUT_MS = 3_600_000


async def apply_patch(text: str, call: Call) -> str:
    """Add, change, move or delete files. The argument is the patch itself."""
    operations = parse(text)
    call.describe(_title(operations), kind=_kind(operations))
    editing = _Editing(call)
    for operation in operations:
        await editing.apply(operation)
    await call.edit(editing.changes())
    marks = {"add": "A", "update": "M", "delete": "D"}
    lines = [f"{marks[operation.kind]} {operation.move_to or operation.path}" for operation in operations]
    return "\n".join(["Success. Updated the following files:", *lines])


class _Editing:
    """A patch being worked out: each file as it was and as it would be. Nothing is written here."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._before: dict[Path, str | None] = {}
        self._after: dict[Path, str | None] = {}
        self._moved_from: dict[Path, Path] = {}

    async def apply(self, operation: Operation) -> None:
        """Work out one operation on top of those before it."""
        if (operation.kind == "delete" or operation.move_to) and (target := self._call.link_target(operation.path)):
            raise PatchError(f"{operation.path} is a symlink to {target}; delete or move it with shell")
        path = await self._load(operation.path)
        before = self._after[path]
        if operation.kind == "add":
            if before is not None:
                raise PatchError(f"{operation.path} already exists; change it with *** Update File")
            self._after[path] = operation.content
            return
        if before is None:
            raise PatchError(f"no such file: {operation.path}")
        if operation.kind == "delete":
            self._after[path] = None
            return
        try:
            after = await asyncio.to_thread(hunks.apply, operation.hunks, before)
        except PatchError as error:
            raise PatchError(f"{operation.path}: {error}") from None
        await self._put(operation, path, after)

    def changes(self) -> list[Change]:
        """Return what is to change, new files before those that go."""
        changes = [
            Change(path, self._before[path], after, self._moved_from.get(path))
            for path, after in self._after.items()
            if after != self._before[path]
        ]
        return sorted(changes, key=lambda change: change.after is None)

    async def _put(self, operation: Operation, path: Path, after: str) -> None:
        target = await self._load(operation.move_to) if operation.move_to else path
        if target != path:
            if self._after[target] is not None:
                raise PatchError(f"{operation.move_to} already exists; {operation.path} can't be moved there")
            self._after[path] = None
            self._moved_from[target] = path
        self._after[target] = after

    async def _load(self, path: str) -> Path:
        real, text = await self._call.read_to_edit(path)
        if real not in self._before:
            self._before[real] = self._after[real] = text
        return real


def _title(operations: list[Operation]) -> str:
    verbs = {"add": "Add", "update": "Edit", "delete": "Delete"}
    names = [operation.path for operation in operations]
    first = operations[0]
    if len(operations) > 1:
        return f"Edit {', '.join(names)}"
    return f"Move {first.path} to {first.move_to}" if first.move_to else f"{verbs[first.kind]} {first.path}"


def _kind(operations: list[Operation]) -> str:
    if all(operation.kind == "delete" for operation in operations):
        return "delete"
    return "move" if all(operation.move_to and not operation.hunks for operation in operations) else "edit"


class Shell(Arguments):
    command: list[str] = Field(
        description='Program and arguments, such as ["bash", "-lc", "ls | wc -l"].', min_length=1
    )
    workdir: str = Field(".", description="Directory to run it in.")
    timeout_ms: int = Field(DEFAULT_TIMEOUT_MS, description="Time limit in milliseconds.", ge=1)

    @field_validator("command", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Take a line for a shell, which some models write instead of a list, as such."""
        return ["bash", "-lc", value] if isinstance(value, str) and value.strip() else value


async def shell(arguments: Shell, call: Call) -> Result:
    """Run a program and return its exit code and output."""
    if Path(arguments.command[0]).name in {"apply_patch", "applypatch"}:
        raise ToolError("apply_patch is no program; call functions.apply_patch with the patch as its argument")
    call.describe_command(_line(arguments.command), arguments.workdir)
    seconds = min(arguments.timeout_ms, LONGEST_TIMEOUT_MS) / 1000
    finished = await call.run(arguments.command, arguments.workdir, seconds)
    raw = {"exitCode": finished.code, "output": finished.output}
    if finished.code is None:
        output = f" Output so far:\n{finished.output}" if finished.output else ""
        return Result(f"Error: timed out after {seconds:g} seconds; the command was stopped.{output}", raw, failed=True)
    text = f"Exit code: {finished.code}\nOutput:\n{finished.output}"
    return Result(text, raw, failed=finished.code != 0)


def _line(command: list[str]) -> str:
    """Return a command as a person would type it; the script of a shell of the system's stands for itself."""
    if len(command) == 3 and command[0] in {"bash", "sh", "zsh"} and re.fullmatch(r"-\w*c", command[1]):
        return command[2]
    return shlex.join(command)


class Step(BaseModel):
    step: str
    status: Literal["pending", "in_progress", "completed"]


class UpdatePlan(Arguments):
    explanation: str | None = None
    plan: list[Step]


async def update_plan(arguments: UpdatePlan, call: Call) -> str:
    """Show the user the plan of a longer task, or its progress."""
    call.show_plan([{"content": step.step, "priority": "medium", "status": step.status} for step in arguments.plan])
    return "Plan updated."
