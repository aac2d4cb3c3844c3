"""The tools that look: read_file, list_dir, search."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import sysconfig
from collections.abc import AsyncGenerator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from pydantic import Field

from gptoss_acp.errors import ToolError
from gptoss_acp.text import clip, clip_line
from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.tools.call import Call
from gptoss_acp.workspace import paths, process
from gptoss_acp.workspace.ignored import Ignored

MOST_LINES = 2000
LONGEST_LINE = 2000
MOST_ENTRIES = 500
DEEPEST = 8
MOST_MATCHES = 200
LONGEST_MATCH = 300


class ReadFile(Arguments):
    path: str = Field(description="File to read.")
    offset: int = Field(1, description="First line.", ge=1)
    limit: int = Field(MOST_LINES, description="Number of lines.", ge=1)


async def read_file(arguments: ReadFile, call: Call) -> str:
    """Read a text file. Its lines come numbered, from 1."""
    real = call.workspace.roots.resolve(arguments.path)
    shown = call.workspace.roots.shown(real)
    call.describe(f"Read {shown}", locations=[call.location(real, arguments.offset)])
    text = await call.read(arguments.path)
    lines = text.removeprefix("\ufeff").removesuffix("\n").split("\n") if text else []
    if not lines:
        return "(empty file)"
    start = arguments.offset - 1
    if start >= len(lines):
        raise ToolError(f"{shown} has only {len(lines)} lines")
    numbered: list[str] = []
    room = call.longest_output - 200
    for number, line in enumerate(lines[start : start + min(arguments.limit, MOST_LINES)], start + 1):
        text = clip(line.removesuffix("\r"), LONGEST_LINE)
        numbered.append(f"L{number}: {text}")
        room -= len(numbered[-1]) + 1
        if room < 0 and len(numbered) > 1:
            numbered.pop()
            break
    if start + len(numbered) < len(lines):
        numbered.append(f"({len(lines)} lines in all; go on with offset {start + len(numbered) + 1})")
    return "\n".join(numbered)


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
    found = _entries(folder, "", depth, Ignored.around(folder))
    names = await asyncio.to_thread(lambda: list(islice(found, MOST_ENTRIES + 1)))
    if len(names) > MOST_ENTRIES:
        names[MOST_ENTRIES:] = ["(more entries left out; list one of the folders)"]
    return names


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


class Search(Arguments):
    pattern: str = Field(description="Regular expression.")
    path: str = Field(".", description="File or directory to search in.")
    glob: str | None = Field(None, description="Only files that match, such as *.py.")
    ignore_case: bool = False


async def search(arguments: Search, call: Call) -> str:
    """Search the text of files for a regular expression."""
    roots = call.workspace.roots
    shown = roots.shown(roots.resolve(arguments.path))
    call.describe(f"Search {arguments.pattern}" + ("" if shown == "." else f" in {shown}"))
    real = await call.look(arguments.path)
    matches: list[dict[str, Any]] = []
    with paths.explained(shown):
        async with contextlib.aclosing(_matches(arguments, real)) as found:
            async for match in found:
                matches.append(match)
                if len(matches) > MOST_MATCHES:
                    break
    call.show(locations=[call.location(match["path"], match["line"]) for match in matches[:20]])
    lines = [f"{roots.shown(match['path'])}:{match['line']}: {match['text']}" for match in matches[:MOST_MATCHES]]
    if len(matches) > MOST_MATCHES:
        lines.append("(more matches left out; narrow the pattern, the path or the glob)")
    return "\n".join(lines) or "No matches."


async def _matches(arguments: Search, real: Path) -> AsyncGenerator[dict[str, Any], None]:
    """Yield where ripgrep finds the pattern. It gets what it searches already open, so that nothing can be swapped."""
    command = [ripgrep(), "--json", "--no-config", "--max-filesize=10M", f"--regexp={arguments.pattern}"]
    command += ["--ignore-case"] * arguments.ignore_case
    with contextlib.ExitStack() as held:
        if os.path.isdir(real):  # noqa: PTH112, ASYNC240 (a look at the disk is short)
            cwd = paths.as_cwd(real, held.enter_context(paths.hold_folder(real)))
            command += ["--hidden", "--no-require-git", "--sort=path", "--glob=!.git"]
            command += [f"--glob={arguments.glob}"] if arguments.glob else []
            lines = process.lines([*command, "--", "."], cwd)
        else:
            folder = held.enter_context(paths.hold_folder(real.parent))
            file = paths.open_file(real.name, folder)
            held.callback(os.close, file)
            lines = process.lines([*command, "--", "-"], "/", stdin=file)
        async with contextlib.aclosing(lines):
            async for line in lines:
                event = orjson.loads(line)
                if event["type"] == "match":
                    yield _match(event["data"], real)


def _match(data: dict[str, Any], real: Path) -> dict[str, Any]:
    name = _text(data["path"])
    text = _text(data["lines"]).rstrip("\r\n")
    return {
        "path": real if name == "<stdin>" else Path(os.path.normpath(real / name)),
        "line": data["line_number"],
        "text": clip_line(text, LONGEST_MATCH) if len(text) > LONGEST_MATCH else text,
    }


def _text(value: dict[str, str]) -> str:
    """Return a text of ripgrep's JSON, where what is not UTF-8 comes in base64."""
    return value["text"] if "text" in value else base64.b64decode(value["bytes"]).decode(errors="replace")


def ripgrep() -> str:
    """Return ripgrep's program: the one installed with us, or the user's.

    Raises:
        ToolError: there is none.
    """
    found = shutil.which("rg", path=sysconfig.get_path("scripts")) or shutil.which("rg")
    if found is None:
        raise ToolError("ripgrep is not installed")
    return found
