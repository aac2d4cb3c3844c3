"""The tool that changes files, by a patch."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gptoss_acp.tools.patch import hunks
from gptoss_acp.tools.patch.errors import PatchError
from gptoss_acp.tools.patch.parse import Operation, parse
from gptoss_acp.workspace.files import Change

if TYPE_CHECKING:
    from gptoss_acp.tools.call import Call


async def apply_patch(text: str, call: Call) -> str:
    """Add, change, move or delete files."""
    return await apply_patch_in("", text, call)


async def apply_patch_in(folder: str, text: str, call: Call) -> str:
    """Apply a patch whose paths are relative to `folder`."""
    operations = [_in_folder(operation, folder) for operation in parse(text)]
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
            raise PatchError(f"{operation.path} is a symlink to {target}; delete or move it with container.exec")
        path = await self._load_as_meant(operation)
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

    async def _load_as_meant(self, operation: Operation) -> Path:
        """Load an operation's file; one that is to be there may have git's `a/` or `b/` before its name."""
        path = await self._load(operation.path)
        if self._after[path] is None and operation.kind != "add" and operation.path.startswith(("a/", "b/")):
            plain = await self._load(operation.path[2:])
            if self._after[plain] is not None:
                return plain
        return path

    async def _load(self, path: str) -> Path:
        real, text = await self._call.read_to_edit(path)
        if real not in self._before:
            self._before[real] = self._after[real] = text
        return real


def _in_folder(operation: Operation, folder: str) -> Operation:
    move_to = operation.move_to and str(Path(folder, operation.move_to))
    return replace(operation, path=str(Path(folder, operation.path)), move_to=move_to) if folder else operation


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
