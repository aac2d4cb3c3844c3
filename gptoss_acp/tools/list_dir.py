"""The tool that lists folders."""

from __future__ import annotations

import asyncio
import contextlib
import os
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import Field

from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.workspace import paths
from gptoss_acp.workspace.ignored import Ignored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gptoss_acp.tools.call import Call

MOST_ENTRIES = 500
DEEPEST = 8


class ListDir(Arguments):
    path: str = Field(description="Directory to list.")
    depth: int = Field(1, description="Levels to descend.", ge=1)


async def list_dir(arguments: ListDir, call: Call) -> str:
    """List the files and folders in a directory, without what .gitignore names."""
    real = call.workspace.roots.resolve(arguments.path)
    shown = call.workspace.roots.shown(real)
    call.describe(f"List {shown}", locations=[call.location(real)])
    real = await call.look(arguments.path)
    with paths.explained(shown):
        return "\n".join(await entries(real, min(arguments.depth, DEEPEST))) or "(empty)"


async def entries(folder: Path, depth: int = 1) -> list[str]:
    """Return what is in a resolved folder, so many levels deep, as list_dir shows it.

    Raises:
        OSError: it can't be read.
    """
    names = await asyncio.to_thread(_first_entries, folder, depth)
    if len(names) > MOST_ENTRIES:
        names[MOST_ENTRIES:] = ["(more entries left out; list one of the folders)"]
    return names


def _first_entries(folder: Path, depth: int) -> list[str]:
    return list(islice(_entries(folder, "", depth, Ignored.around(folder)), MOST_ENTRIES + 1))


def _entries(folder: Path, prefix: str, depth: int, ignored: Ignored) -> Iterator[str]:
    with paths.hold_folder(folder) as held:
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held)
        try:
            with os.scandir(readable) as found:
                names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)
        finally:
            os.close(readable)
        ignored = ignored.below(folder, held)
    for name, is_folder in names:
        if ignored.ignores(folder / name, is_folder=is_folder):
            continue
        yield prefix + name + "/" * is_folder
        if is_folder and depth > 1:
            with contextlib.suppress(OSError):  # a folder that can't be read is still listed
                yield from _entries(folder / name, f"{prefix}{name}/", depth - 1, ignored)
