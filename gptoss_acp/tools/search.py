"""The tool that searches files, with ripgrep."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from gptoss_acp.errors import ToolError
from gptoss_acp.shielding import unharmed
from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.workspace import files, paths, ripgrep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gptoss_acp.tools.call import Call

MOST_MATCHES = 100
MOST_LOCATIONS = 20
LONGEST_SEARCH_SECONDS = 60.0

QUICK_SECONDS = 0.25
LONGEST_BESIDE_SECONDS = 1.0
"""For finding out what a quick search has left out; after another one, for each kind a twentieth of its time."""

_ROOM_FOR_NOTES = 600
_MOST_NAMES = 5
_MOST_IGNORED = 3

_MATCH = re.compile(rb"(?P<name>.*?)\0(?P<number>\d+):(?P<offset>\d+):(?P<text>.*)", re.DOTALL)
_NO_REGEX = "regex parse error"
_UNREADABLE = "(os error "
_BINARY = b"binary file "


class Search(Arguments):
    path: str = Field(description="Empty for the working directory.")
    query: str
    max_results: int | None = None
    glob: SkipJsonSchema[str | None] = None

    bare: ClassVar = "query"

    @classmethod
    def as_meant(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Take a path that is left out for what it plainly means."""
        return {"path": ""} | given


async def search(arguments: Search, call: Call) -> str:
    """Search the text of files for a regular expression."""
    roots = call.workspace.roots
    shown = roots.shown(roots.resolve(arguments.path))
    call.describe(f"Search {arguments.query}" + ("" if shown == "." else f" in {shown}"))
    real = await call.look(arguments.path)
    found = _Found(real, shown, max(1, arguments.max_results or MOST_MATCHES), call.workspace.decoded)
    await found.search(arguments.query, arguments.glob)
    lines: list[str] = []
    room = call.longest_output - _ROOM_FOR_NOTES
    first = await asyncio.to_thread(found.first)
    for path, number, text in first:
        line = f"{roots.shown(path)}:{number}:{text}"
        room -= len(line) + 1
        if room < 0 and lines:
            break
        lines.append(line)
    call.show(locations=[call.location(path, number) for path, number, _ in first[:MOST_LOCATIONS]])
    return "\n".join([*lines, *found.notes(len(lines))])


class _Found:
    """The first of the matches, by name and line, and how many there are in all."""

    def __init__(self, real: Path, shown: str, most: int, decoded: Callable[[bytes, Path], str]) -> None:
        self._real = real
        self._shown = shown
        self._most = most
        self._decoded = decoded
        self._count = 0
        self._kept: list[bytes] = []
        self._beyond: bytes | None = None
        self._binary = 0
        self._notes: list[str] = []

    async def search(self, query: str, glob: str | None) -> None:
        """Search for a regular expression, or for the text where `query` is none.

        Raises:
            ToolError: the place can't be searched, or not for that.
        """
        if "\0" in query + (glob or ""):
            raise ToolError("no text has a null character, and so can't be searched for one")
        started = time.perf_counter()
        try:
            async with asyncio.timeout(LONGEST_SEARCH_SECONDS):
                problems = await self._search([f"--regexp={query}"], glob)
                if problem := _why_no_regex(problems):
                    self._notes.append(f"(no regular expression: {problem}; searched as plain text)")
                    problems = await self._search(["--fixed-strings", f"--regexp={query}"], glob)
        except TimeoutError:
            self._notes.append(
                f"(stopped after {LONGEST_SEARCH_SECONDS:g} seconds, so not all was searched; narrow the path)"
            )
            return
        unreadable = [problem for problem in problems if _UNREADABLE in problem]
        if refused := [problem for problem in problems if problem not in unreadable]:
            raise ToolError(f"ripgrep can't search for that: {refused[0].removeprefix('rg: ')[:500]}")
        if unreadable:
            self._notes.append(f"({len(unreadable):,} could not be read, such as {unreadable[0].removeprefix('rg: ')})")
        taken = time.perf_counter() - started
        seconds = LONGEST_BESIDE_SECONDS if taken < QUICK_SECONDS else taken / 20
        with paths.explained(self._shown):
            if not query.isascii():
                await self._note_other_encodings(seconds)
            if not self._real.is_dir():
                await self._note_unsearchable()
                return
            if glob and not self._count and not await ripgrep.has_such(self._real, _as_ripgrep(glob)):
                self._notes.append(f"(no file fits the glob {glob})")
            await self._note_ignored(seconds)

    def first(self) -> list[tuple[Path, int, str]]:
        """Return the path, the line's number and the line of each of the first matches; also look whether they hold."""
        self._forget_later()
        matches = [match for line in self._kept if (match := _MATCH.fullmatch(line))]
        shown = [(path, match) for match in matches if (path := self._path(match))]
        if gone := len(matches) - len(shown):
            why = "that have changed meanwhile, or whose names have line breaks"
            self._notes.append(f"({gone:,} more were found in files {why})")
            self._count -= gone
        return [
            (path, int(match["number"]), self._decoded(match["text"], path).removesuffix("\r")) for path, match in shown
        ]

    def _path(self, match: re.Match[bytes]) -> Path | None:
        if match["name"] == b"<stdin>":
            return self._real
        path = Path(os.path.normpath(self._real / os.fsdecode(match["name"])))
        return path if ripgrep.holds(path, int(match["offset"]), match["text"]) else None

    def notes(self, shown: int) -> Iterator[str]:
        """Yield what must be said beside the matches, of which so many are shown."""
        if not self._count and not self._binary:
            yield "No matches."
        if self._count > shown:
            wish = "narrow the path or the query, or give a larger max_results"
            yield f"({self._count - shown:,} more matches; {wish})"
        if self._binary:
            yield f"({self._binary:,} binary files match, and were not searched to their end)"
        yield from self._notes

    async def _search(self, query: list[str], glob: str | None) -> list[str]:
        complaints: list[bytes] = []
        with paths.explained(self._shown):
            names = await _names(self._real) if glob else None
            globs = [_as_ripgrep(glob)] if glob else []
            async with contextlib.aclosing(ripgrep.matches(self._real, query, globs, complaints)) as batches:
                async for lines in batches:
                    await unharmed(asyncio.to_thread(self._add, lines, names))
        return [complaint.decode(errors="replace") for complaint in complaints]

    async def _note_ignored(self, seconds: float) -> None:
        names, complete = await ripgrep.ignored(self._real, seconds)
        some = [str(Path(self._shown, name)) for name in names[:_MOST_IGNORED]]
        more = f" and {len(names) - len(some):,} more" if len(names) > len(some) else ""
        more = more if complete else " and more"
        if names:
            wish = "name one as the path to search it"
            self._notes.append(f"(ignored and not searched: {', '.join(some)}{more}; {wish})")
        elif not complete:
            self._notes.append("(what is ignored was not searched)")

    async def _note_other_encodings(self, seconds: float) -> None:
        searched = "were searched for the query's bytes in UTF-8 only"
        try:
            async with asyncio.timeout(seconds):
                others = await ripgrep.not_in_unicode(self._real)
        except TimeoutError:
            self._notes.append(f"(files that are not in Unicode, if there are any, {searched})")
            return
        if others:
            some = ", ".join(sorted(others)[:_MOST_NAMES])
            more = ", …" if len(others) > _MOST_NAMES else ""
            self._notes.append(f"({len(others):,} files that are not in Unicode {searched}: {some}{more})")

    async def _note_unsearchable(self) -> None:
        """Say of a file that it is text, but such as ripgrep does not know: it goes by the mark of UTF-16 alone."""
        with contextlib.suppress(OSError, ToolError):
            text, encoding = await asyncio.to_thread(files.read_text, self._real)
            is_known = encoding.name.startswith("utf-16") and text.startswith("\ufeff")
            if encoding.is_wide and not is_known:
                self._notes.append(f"(the file is in {encoding}, in which nothing can be searched for; open it)")

    def _add(self, lines: list[bytes], names: set[bytes] | None) -> None:
        if names is not None:
            lines = [line for line in lines if line.partition(b"\0")[0] in names]
        matches = [line for line in lines if b"\0" in line]
        if len(matches) < len(lines):
            self._binary += sum(_BINARY in line for line in lines)
        self._count += len(matches)
        # Only few of very many lines can still be among the first, and to compare bytes is cheap.
        self._kept += matches if self._beyond is None else [line for line in matches if line < self._beyond]
        if len(self._kept) > 2 * self._most + 1000:
            self._forget_later()

    def _forget_later(self) -> None:
        self._kept = sorted(self._kept, key=_place)[: self._most]
        if len(self._kept) == self._most:
            self._beyond = _place(self._kept[-1])[0] + b"\1"


def _place(line: bytes) -> tuple[bytes, int]:
    match = _MATCH.fullmatch(line)
    return (match["name"], int(match["number"])) if match else (line, 0)


def _why_no_regex(problems: list[str]) -> str | None:
    """Return what is wrong with a query that can only be meant as text, None where it is a regular expression.

    Raises:
        ToolError: it is one, of a kind that ripgrep does not know.
    """
    if not problems or _NO_REGEX not in problems[0]:
        return None
    problem = problems[-1].removeprefix("error: ")
    if "not supported" in problem:
        raise ToolError(f"the query can't be searched for: {problem}")
    return problem


def _as_ripgrep(glob: str) -> str:
    """Return a glob as ripgrep has to be given it: it knows no `./`, nor that a folder stands for what is in it."""
    glob = glob.removeprefix("./")
    return f"{glob}**" if glob.endswith("/") else glob


async def _names(folder: Path) -> set[bytes]:
    """Return what is not ignored: a glob narrows, but ripgrep's bring back what is ignored."""
    names: set[bytes] = set()
    if folder.is_dir():  # noqa: ASYNC240 (a look at the disk is short)
        async with contextlib.aclosing(ripgrep.names(folder)) as batches:
            async for batch in batches:
                names.update(b"./" + name for name in batch)
    else:
        names.add(b"<stdin>")
    return names
