"""The tool that shows what is in folders."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.workspace import paths, ripgrep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gptoss_acp.tools.call import Call

MOST_ENTRIES = 500
MOST_IGNORED = 5
"""Names of what is ignored, for the model to know how to get it."""

LONGEST_LISTING_SECONDS = 5.0
"""For finding out what is ignored; a million files take two."""

Known = dict[bytes, "Known | None"]
"""What ripgrep lists of a folder: its folders with what is in them, and its files."""


class PrintTree(Arguments):
    path: str = Field(description="Empty for the working directory.")
    depth: int

    bare: ClassVar = "path"

    @classmethod
    def as_meant(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Take what is told as required, but may be left out, for what it plainly means."""
        meant = {"path": "", "depth": 1} | given
        return meant | {"depth": 1} if str(meant["depth"]) == "0" else meant


async def print_tree(arguments: PrintTree, call: Call) -> str:
    """Print the tree of folders and files, without what .gitignore names."""
    roots = call.workspace.roots
    real = roots.resolve(arguments.path)
    shown = roots.shown(real)
    call.describe(f"List {shown}", locations=[call.location(real)])
    real = await call.look(arguments.path)
    if os.path.isfile(real):  # noqa: PTH113, ASYNC240 (a look at the disk is short)
        raise ToolError(f"{shown} is a file; open it with repo_browser.open_file")
    with paths.explained(shown):
        return "\n".join(await lines(real, max(1, arguments.depth))) or "(empty)"


async def lines(folder: Path, depth: int = 1) -> list[str]:
    """Return the tree of a resolved folder, so many levels deep, and in a last line what it leaves out.

    Raises:
        OSError: it can't be read.
        ToolError: there is no ripgrep.
    """
    known: Known = {}
    complete = False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_LISTING_SECONDS), contextlib.aclosing(ripgrep.names(folder)) as batches:
            async for names in batches:
                _add(known, names, depth)
            complete = True
    return await asyncio.to_thread(_Tree(folder, known, depth, complete=complete).lines)


def _add(known: Known, names: Sequence[bytes], depth: int) -> None:
    # Of very many files most are too deep to be shown, and stand for their folders only.
    parted = [name.rpartition(b"/") for name in names]
    shown: dict[bytes, Known] = {}
    for folder in {folder for folder, _, _ in parted}:
        parts = folder.split(b"/", depth) if folder else []
        inside = _folder(known, parts[:depth])
        if len(parts) < depth:
            shown[folder] = inside
    for folder, _, name in parted if shown else ():
        if folder in shown:
            shown[folder][name] = None


def _folder(known: Known, names: Sequence[bytes]) -> Known:
    for name in names:
        inside = known.get(name)
        if inside is None:
            inside = known[name] = {}
        known = inside
    return known


@dataclass(slots=True)
class _Entry:
    name: str
    path: str
    known: Known | None = None
    inside: list[_Entry] = field(default_factory=list)


class _Tree:
    """A tree with as many entries as may be shown, those near the root first.

    ripgrep lists files only, so each folder that is shown is looked into: for folders without files, links, and what
    is ignored, if its list is complete. A link is shown and not followed.
    """

    def __init__(self, folder: Path, known: Known, depth: int, *, complete: bool) -> None:
        self._complete = complete
        self._folder = folder
        self._depth = depth
        self._root = _Entry("", "", known)
        self._closed: list[str] = []  # the folders of which not all is shown
        self._left_out = 0
        self._ignored: list[str] = []

    def lines(self) -> list[str]:
        """Return the lines.

        Raises:
            OSError: the folder can't be read.
        """
        self._look_into(self._root, MOST_ENTRIES)
        room = MOST_ENTRIES - len(self._root.inside)
        waiting = deque([(self._root, 1)])
        while waiting:
            entry, level = waiting.popleft()
            for inner in entry.inside if level < self._depth else []:
                if inner.known is not None:
                    with contextlib.suppress(OSError):  # it is gone or can't be read: shown, with nothing in it
                        self._look_into(inner, room)
                    room -= len(inner.inside)
                    waiting.append((inner, level + 1))
        return [*_printed(self._root, ""), *self._notes()]

    def _look_into(self, entry: _Entry, room: int) -> None:
        """Show what is in a folder if there is room for all of it; of the first one, what there is room for."""
        found, ignored = self._look(entry)
        shown = len(found) if len(found) <= room else room if entry is self._root else 0
        entry.inside = found[:shown]
        if shown < len(found):
            self._left_out += _count(found[shown:])
            self._closed.append(entry.path)
        else:
            self._ignored += ignored

    def _look(self, entry: _Entry) -> tuple[list[_Entry], list[str]]:
        """Return what is in a folder, and the names of what is ignored there."""
        found, ignored = [], []
        known = entry.known or {}
        with _readable(self._folder / entry.path) as descriptor, os.scandir(descriptor) as scanned:
            for each in scanned:
                name, path = os.fsencode(each.name), f"{entry.path}{each.name}"
                if each.name == ".git":
                    continue
                if each.is_symlink():
                    found.append(_Entry(f"{each.name} -> {os.readlink(each.name, dir_fd=descriptor)}", path))
                elif each.is_dir(follow_symlinks=False):
                    if name in known or not (self._complete and _holds_files(each.name, descriptor)):
                        found.append(_Entry(f"{each.name}/", f"{path}/", known.get(name) or {}))
                    else:
                        ignored.append(f"{path}/")
                elif name in known or not (self._complete and each.is_file(follow_symlinks=False)):
                    found.append(_Entry(each.name, path))
                else:
                    ignored.append(path)
        return sorted(found, key=lambda each: each.path.rstrip("/")), ignored

    def _notes(self) -> Iterator[str]:
        if "" in self._closed:
            yield f"({self._left_out:,} more entries in this folder; list them with container.exec)"
        elif self._closed:
            where = f"in {self._closed[0]}" + (" and others" if len(self._closed) > 1 else "")
            yield f"({self._left_out:,} more entries {where}; print the tree of a folder to see what is in it)"
        if names := sorted(self._ignored):
            more = f" and {len(names) - MOST_IGNORED:,} more" if len(names) > MOST_IGNORED else ""
            yield f"(ignored, and shown only if named as the path: {', '.join(names[:MOST_IGNORED])}{more})"
        if not self._complete:
            yield f"(after {LONGEST_LISTING_SECONDS:g} seconds it was not known what is ignored, so all is shown)"


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[int]:
    with paths.hold_folder(folder) as held:
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _holds_files(name: str, descriptor: int) -> bool:
    """Whether any regular file is below the folder `name`; it stops at the first."""
    return any(
        stat.S_ISREG(os.stat(file, dir_fd=folder, follow_symlinks=False).st_mode)
        for _, _, files, folder in os.fwalk(name, dir_fd=descriptor)
        for file in files
    )


def _count(entries: Sequence[_Entry]) -> int:
    return len(entries) + sum(_count_known(entry.known) for entry in entries if entry.known)


def _count_known(known: Known) -> int:
    return len(known) + sum(_count_known(inside) for inside in known.values() if inside)


def _printed(entry: _Entry, indent: str) -> Iterator[str]:
    for inner in entry.inside:
        yield indent + inner.name
        yield from _printed(inner, indent + "  ")
