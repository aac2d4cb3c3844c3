"""The tool that changes files, by a patch."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gptoss_acp.tools.patch import hunks
from gptoss_acp.tools.patch.errors import PatchError
from gptoss_acp.tools.patch.in_command import patch_in_text
from gptoss_acp.tools.patch.parse import Operation, parse
from gptoss_acp.workspace import encodings
from gptoss_acp.workspace.edits import Change
from gptoss_acp.workspace.files import Blob

if TYPE_CHECKING:
    from gptoss_acp.tools.call import Call
    from gptoss_acp.workspace.encodings import Encoding

_SIDE = re.compile(r"^(\./)?[ab]/")
"""What git puts before a file's name."""


async def apply_patch(text: str, call: Call) -> str:
    """Add, change, move or delete files."""
    command = patch_in_text(text)
    return await apply_patch_in(command.folder if command else "", command.text if command else text, call)


async def apply_patch_in(folder: str, text: str, call: Call) -> str:
    """Apply a patch whose paths are relative to `folder`."""
    operations = [_in_folder(operation, folder) for operation in parse(text)]
    _describe(operations, call)
    editing = _Editing(call)
    operations = [await editing.apply(operation) for operation in operations]
    _describe(operations, call)
    await call.edit(await editing.changes(), _names(operations))
    marks = {"add": "A", "update": "M", "delete": "D"}
    lines = [f"{marks[operation.kind]} {operation.move_to or operation.path}" for operation in operations]
    return "\n".join(["Success. Updated the following files:", *lines])


class _Editing:
    """A patch being worked out: each file as it was and as it would be. Nothing is written here."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._before: dict[Path, str | Blob | None] = {}
        self._after: dict[Path, str | Blob | None] = {}
        self._encodings: dict[Path, Encoding] = {}
        self._moved_from: dict[Path, Path] = {}

    async def apply(self, operation: Operation) -> Operation:
        """Work out one operation on top of those before it, and return it with the names that it means."""
        operation = await self._with_names_meant(operation)
        path = await self._load(operation.path)
        if (operation.kind == "delete" or operation.move_to) and self._call.is_link(operation.path):
            raise PatchError(f"{operation.path} is a symlink; delete or move it with container.exec")
        before = self._after[path]
        if operation.kind == "add":
            if before is not None:
                raise PatchError(f"{operation.path} already exists; change it with *** Update File")
            self._refuse_mixture(operation.path, path)
            self._after[path] = operation.content
        elif before is None:
            plain = _SIDE.sub("", operation.path)
            raise PatchError(f"no such file: {operation.path}" + (f", nor {plain}" if plain != operation.path else ""))
        elif operation.kind == "delete":
            self._after[path] = None
        else:
            await self._put(operation, path, await self._changed(operation, before))
        return operation

    async def changes(self) -> list[Change]:
        """Return what is to change, new files before those that go."""
        await self._take_as_they_are()
        changes = [
            await self._change(path, after) for path, after in self._after.items() if after != self._before[path]
        ]
        return sorted(changes, key=lambda change: change.after is None)

    async def _change(self, path: Path, after: str | Blob | None) -> Change:
        before, encoding = self._before[path], self._encodings[path]
        had_none = encoding == encodings.UTF_8 and (before is None or (isinstance(before, str) and before.isascii()))
        if had_none and isinstance(after, str) and (not before or not after.isascii()):
            wanted, mark = await asyncio.to_thread(encodings.of_new, path)
            if not before:
                encoding, after = wanted, mark + after
            elif not wanted.is_wide:
                encoding = wanted
        return Change(path, before, after, self._moved_from.get(path), encoding=encoding)

    async def _changed(self, operation: Operation, before: str | Blob) -> str | Blob:
        if isinstance(before, str):
            try:
                return await asyncio.to_thread(hunks.apply, operation.hunks, before)
            except PatchError as error:
                raise PatchError(f"{operation.path}: {error}") from None
        if operation.hunks:
            raise PatchError(f"{operation.path}: {before.why}")
        return before

    async def _put(self, operation: Operation, path: Path, after: str | Blob) -> None:
        target = await self._load(operation.move_to) if operation.move_to else path
        if target != path:
            if self._after[target] is not None:
                raise PatchError(f"{operation.move_to} already exists; {operation.path} can't be moved there")
            self._refuse_mixture(str(operation.move_to), target)
            self._after[path] = None
            self._moved_from[target] = self._moved_from.get(path, path)
            self._encodings[target] = self._encodings[path]
        self._after[target] = after

    async def _take_as_they_are(self) -> None:
        """Take files that go, or move as they are, by their bytes, if their text could be written in several ways."""
        targets = {source: target for target, source in self._moved_from.items()}
        going = [path for path, after in self._after.items() if after is None and isinstance(self._before[path], str)]
        for path in going:
            target = targets.get(path)
            if not self._encodings[path].is_exact and (target is None or self._after[target] == self._before[path]):
                self._before[path] = blob = await self._call.identify(path)
                if target is not None:
                    self._after[target] = blob

    def _refuse_mixture(self, name: str, path: Path) -> None:
        if isinstance(self._before[path], Blob):
            raise PatchError(f"{name} is no text that a patch can replace; let it go in a patch of its own first")

    async def _with_names_meant(self, operation: Operation) -> Operation:
        """Leave out git's `a/` or `b/` before the name of a file that is to be there, where only the rest is."""
        plain = _SIDE.sub("", operation.path)
        if operation.kind == "add" or plain == operation.path:
            return operation
        if self._after[await self._load(operation.path)] is not None or self._after[await self._load(plain)] is None:
            return operation
        return replace(operation, path=plain, move_to=operation.move_to and _SIDE.sub("", operation.move_to))

    async def _load(self, path: str) -> Path:
        real, content, encoding = await self._call.read_to_edit(path)
        if real not in self._before:
            self._before[real] = self._after[real] = content
            self._encodings[real] = encoding
        return real


def _in_folder(operation: Operation, folder: str) -> Operation:
    move_to = operation.move_to and str(Path(folder, operation.move_to))
    return replace(operation, path=str(Path(folder, operation.path)), move_to=move_to) if folder else operation


def _describe(operations: list[Operation], call: Call) -> None:
    """Show which files a patch is about, first those that others run or obey, which must be seen."""
    protected = call.protected(_names(operations))
    first = [operation for operation in operations if not protected.keys().isdisjoint(_names([operation]))]
    ordered = first + [operation for operation in operations if operation not in first]
    call.describe(_title(ordered), kind=_kind(operations), least=len(_title(first)) + 10 if first else 0)


def _names(operations: list[Operation]) -> list[str]:
    return [name for operation in operations for name in (operation.path, operation.move_to) if name]


def _title(operations: list[Operation]) -> str:
    verbs = {"add": "Add", "update": "Edit", "delete": "Delete"}
    first = operations[0]
    if len(operations) > 1:
        return f"Edit {', '.join(' → '.join(_names([operation])) for operation in operations)}"
    return f"Move {first.path} to {first.move_to}" if first.move_to else f"{verbs[first.kind]} {first.path}"


def _kind(operations: list[Operation]) -> str:
    if all(operation.kind == "delete" for operation in operations):
        return "delete"
    return "move" if all(operation.move_to and not operation.hunks for operation in operations) else "edit"
