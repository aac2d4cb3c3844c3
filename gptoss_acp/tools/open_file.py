"""The tool that reads files."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, ClassVar

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.arguments import Arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gptoss_acp.tools.call import Call
    from gptoss_acp.workspace.window import Window

MOST_LINES = 2000
_LINE_BEHIND = re.compile(r":(?P<start>\d{1,9})(-(?P<end>\d{1,9}))?(:\d{1,9})?\Z")
_NUMBER = re.compile(r"\d{1,9}")
_ROOM_FOR_NOTE = 200


class OpenFile(Arguments):
    path: str
    line_start: int | None = None
    line_end: int | None = None
    line_numbers: bool = True

    bare: ClassVar = "path"
    untold: ClassVar = ("limit", "lines", "line_range", "view_range")

    @classmethod
    def as_meant(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Take `a.py:12`, a range, and a number of lines, for the lines that they mean."""
        meant = {name: value for name, value in given.items() if name not in cls.untold}
        path = meant.get("path")
        if isinstance(path, str) and "line_start" not in meant and (match := _LINE_BEHIND.search(path)):
            meant |= {"path": path[: match.start()], "line_start": match["start"], "line_end": match["end"]}
        lines = next((given[name] for name in cls.untold[1:] if name in given), None)
        if isinstance(lines, list) and len(lines) == 2:
            meant |= {"line_start": lines[0], "line_end": lines[1]}
        limit = given.get("limit")
        if "line_end" not in meant and _NUMBER.fullmatch(str(limit)):
            meant["line_end"] = max(1, int(str(meant.get("line_start") or 1))) + int(str(limit)) - 1
        return meant


async def open_file(arguments: OpenFile, call: Call) -> str:
    """Open a text file, or its lines from line_start to line_end."""
    first = max(1, arguments.line_start or 1)
    last = arguments.line_end or 0
    if last < 1:  # to the end, as -1 is elsewhere
        last = first + MOST_LINES - 1
    real = call.workspace.roots.resolve(arguments.path)
    shown = call.workspace.roots.shown(real)
    call.describe(f"Read {shown}", locations=[call.location(real, first)])
    if last < first:
        raise ToolError(f"line_end {last} is before line_start {first}")
    real = await call.look(arguments.path)
    if os.path.isdir(real):  # noqa: PTH112, ASYNC240 (a look at the disk is short)
        raise ToolError(f"{shown} is a folder; print its tree with repo_browser.print_tree")
    window = await call.workspace.window(
        real, first, min(MOST_LINES, last - first + 1), call.longest_output - _ROOM_FOR_NOTE
    )
    if window.total == 0:
        return "(empty file)"
    if not window.lines:
        raise ToolError(f"{shown} has only {window.total:,} lines")
    return "\n".join(_lines(window, first, numbered=arguments.line_numbers))


def _lines(window: Window, first: int, *, numbered: bool) -> Iterator[str]:
    for number, line in enumerate(window.lines, first):
        yield f"L{number}: {line}" if numbered else line
    following = first + len(window.lines)
    if window.total is None:
        yield f"({window.size:,} bytes in all; go on with line_start {following})"
    elif following <= window.total:
        yield f"({window.total} lines in all; go on with line_start {following})"
