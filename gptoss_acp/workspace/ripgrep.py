"""ripgrep: which files there are, and which lines of them match. What is ignored is what it ignores, here as there.

Knows ripgrep's options. Knows nothing about tools, nor how its lines are shown.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import re
import shutil
import sysconfig
from typing import TYPE_CHECKING

from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import files, paths, process

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

LONGEST_MATCH = 300
"""Bytes of a line that matches; of a longer one ripgrep prints the beginning and says so."""

_ALWAYS = ("--no-config", "--no-ignore-messages", "--color=never", "--hidden")
_NO_GIT = "--glob=!.git"  # behind every other glob, for the last that fits decides
_UNBOUNDED = "--no-ignore"
_LINES = ("--binary", "--crlf", "--no-heading", "--line-number", "--byte-offset", "--with-filename", "--null")
_RECODED = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How a file begins that ripgrep reads as UTF-8 all the same; its offsets are those of the UTF-8, without a mark."""

_NO_UTF_8 = r"(?-u:[\xC0-\xFF](?:[\x00-\x7F\xC0-\xFF]|$)|(?:^|[\x00-\x7F])[\x80-\xBF])"
"""What no UTF-8 has: a character begun and not gone on with, or gone on with and not begun."""

_IGNORED = re.compile(rb"ignoring \./(.{1,4096}): Ignore\(IgnoreMatch\(Gitignore\(", re.DOTALL)
"""How it says, when it is asked to tell all, what it leaves out because of a .gitignore and the like."""

_LEFT_OUT = re.compile(rb" \[\.\.\. [a-z0-9 ]{1,60}\]\r?\Z")
_CLIPPED = (f"--max-columns={LONGEST_MATCH}", "--max-columns-preview")


async def has_such(folder: Path, glob: str) -> bool:
    """Whether there is a file below a folder, ignored or not, whose name fits a glob.

    Raises:
        OSError: the folder can't be opened.
        ToolError: there is no ripgrep.
    """
    with paths.hold_folder(folder) as held:
        command = [program(), "--files", *_ALWAYS, f"--glob={glob}", _NO_GIT, "--", "./"]
        async with contextlib.aclosing(process.lines(command, paths.as_cwd(folder, held))) as batches:
            async for _ in batches:
                return True
    return False


async def ignored(folder: Path, seconds: float) -> tuple[list[str], bool]:
    """Return the names of the files and folders below a folder that are ignored, and whether these are all.

    They are looked for so long, those near the folder first.

    Raises:
        OSError: the folder can't be opened.
        ToolError: there is no ripgrep.
    """
    said: list[bytes] = []
    try:
        async with asyncio.timeout(seconds):
            with paths.hold_folder(folder) as held:
                unbounded = [_UNBOUNDED] if await _is_ignored(paths.as_cwd(folder, held)) else []
                command = [program(), "--files", "--debug", *_ALWAYS, *unbounded, _NO_GIT, "--", "./"]
                cwd = paths.as_cwd(folder, held)
                async with contextlib.aclosing(process.lines(command, cwd, on_complaints=said.extend)) as batches:
                    async for _ in batches:
                        pass
        complete = True
    except TimeoutError:
        complete = False
    names = [match[1] for line in said if (match := _IGNORED.search(line))]
    return [os.fsdecode(name) for name in sorted(names, key=lambda name: (name.count(b"/"), name))], complete


async def names(folder: Path) -> AsyncGenerator[list[bytes], None]:
    """Yield the names of the files below a folder, as many at a time as are there; in no order.

    What is ignored is left out, unless that is all there is: then the folder itself is, and was named nevertheless.

    Raises:
        OSError: the folder can't be opened.
        ToolError: there is no ripgrep.
    """
    with paths.hold_folder(folder) as held:
        for more in ((), (_UNBOUNDED,)):
            command = [program(), "--files", "--null", *_ALWAYS, *more, _NO_GIT]
            found = False
            async with contextlib.aclosing(process.lines(command, paths.as_cwd(folder, held), end=b"\0")) as batches:
                async for batch in batches:
                    found = True
                    yield batch
            if found:
                return


async def matches(
    place: Path, query: Sequence[str], globs: Sequence[str], complaints: list[bytes]
) -> AsyncGenerator[list[bytes], None]:
    r"""Yield the lines that match, as `name\0number:offset:line`; in no order. `query` are ripgrep's options.

    It gets what it searches already open, but goes into the folders below by their names: see `holds`. What it can't
    read, or does not understand, is added to `complaints`.

    Raises:
        OSError: the place can't be opened.
        ToolError: there is no ripgrep, or the place is no regular file.
    """
    command = [program(), *_LINES, *_CLIPPED, *_ALWAYS, *query]
    with contextlib.ExitStack() as held:
        if os.path.isdir(place):  # noqa: PTH112, ASYNC240 (a look at the disk is short)
            cwd = paths.as_cwd(place, held.enter_context(paths.hold_folder(place)))
            unbounded = [_UNBOUNDED] if await _is_ignored(cwd) else []
            command += [*unbounded, *(f"--glob={glob}" for glob in globs), _NO_GIT, "--", "./"]
            lines = process.lines(command, cwd, on_complaints=complaints.extend)
        else:
            file = paths.open_file(place.name, held.enter_context(paths.hold_folder(place.parent)))
            held.callback(os.close, file)
            lines = process.lines([*command, "--", "-"], "/", stdin=file, on_complaints=complaints.extend)
        async with contextlib.aclosing(lines):
            async for batch in lines:
                yield batch


async def not_in_unicode(place: Path) -> list[str]:
    """Return the names of the files below a folder, or of this one, that have bytes which are no UTF-8; in no order.

    Raises:
        OSError: the folder can't be opened.
        ToolError: there is no ripgrep.
    """
    folder, name = (place, "./") if place.is_dir() else (place.parent, f"./{place.name}")  # noqa: ASYNC240 (short)
    query = (*_ALWAYS, f"--regexp={_NO_UTF_8}", _NO_GIT, "--", name)
    with paths.hold_folder(folder) as held:
        command = [program(), "--files-with-matches", "--null", *query]
        lines = process.lines(command, paths.as_cwd(folder, held), end=b"\0")
        async with contextlib.aclosing(lines):
            return [os.fsdecode(name.removeprefix(b"./")) async for batch in lines for name in batch]


def without_note(line: bytes) -> bytes:
    """Return a line that ripgrep has found without what it says of the rest of it."""
    return _LEFT_OUT.sub(b"", line)


def holds(file: Path, offset: int, line: bytes) -> bool:
    """Whether a file has, `offset` bytes from its beginning, a line that ripgrep has found, or the start that it shows.

    What it has found behind a folder that was replaced by a link just then, the file itself does not have.
    """
    line = without_note(line)
    try:
        with paths.hold_folder(file.parent) as folder:
            descriptor = paths.open_file(file.name, folder)
    except (OSError, ToolError):
        return False
    with os.fdopen(descriptor, "rb") as opened:
        mark = opened.read(len(codecs.BOM_UTF8))
        if mark[:2] in _RECODED:
            opened.seek(0)
            if os.fstat(descriptor).st_size > files.LARGEST_FILE:
                return True  # which would take long to find out
            return line in opened.read(files.LARGEST_FILE).decode("utf-16", "replace").encode(errors="replace")
        opened.seek(offset + (len(mark) if mark == codecs.BOM_UTF8 else 0))
        there = opened.read(len(line))
        return line in {there, there + b"\r"}  # which ripgrep puts behind a last line that has no end


async def _is_ignored(cwd: str) -> bool:
    """Whether all that is in a folder is ignored."""
    command = [program(), "--files", *_ALWAYS, _NO_GIT]
    async with contextlib.aclosing(process.lines(command, cwd)) as batches:
        async for _ in batches:
            return False
    return True


def program() -> str:
    """Return ripgrep's program: the one installed with us, or the user's.

    Raises:
        ToolError: there is none.
    """
    found = shutil.which("rg", path=sysconfig.get_path("scripts")) or shutil.which("rg")
    if found is None:
        raise ToolError("ripgrep is not installed")
    return found
