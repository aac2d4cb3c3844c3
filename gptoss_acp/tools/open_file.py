"""The tool that reads files."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, ClassVar

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.arguments import Arguments, as_number
from gptoss_acp.workspace.encodings import UTF_8

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gptoss_acp.tools.call import Call
    from gptoss_acp.workspace.window import Window

MOST_LINES = 2000
_LINES_BEHIND = re.compile(r"(?::|#L)(?P<lines>\d{1,9}(?:-L?\d{1,9})?)(?::\d{1,9})?\Z")
"""What stands behind a path: a line, or several; as compilers write it, a column behind the line."""

_LINES = re.compile(r"L?(?P<start>\d{1,9})\s?(?:(?:-|:|,|to)\s?L?(?P<end>\d{1,9}))?")
_ROOM_FOR_NOTE = 200

_COUNTS = ("limit", "count", "num_lines", "line_count", "max_lines", "n_lines")
_RANGES = ("lines", "line_range", "view_range", "range")


class OpenFile(Arguments):
    path: str
    line_start: int | None = None
    line_end: int | None = None
    line_numbers: bool = True

    bare: ClassVar = "path"
    untold: ClassVar = (*_COUNTS, *_RANGES)

    @classmethod
    def as_meant(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Take `a.py:12`, a range, and a number of lines, for the lines that they mean."""
        meant = {name: value for name, value in given.items() if name not in cls.untold}
        lines = next((given[name] for name in _RANGES if name in given), None)
        path = meant.get("path")
        if isinstance(path, str) and (match := _LINES_BEHIND.search(path)):
            meant["path"] = path[: match.start()]
            lines = lines or match["lines"]
        if "line_start" not in meant and "line_end" not in meant:
            meant |= _range(lines)
        count = next((count for name in _COUNTS if (count := as_number(given.get(name)))), None)
        if "line_end" not in meant and count and count > 0:
            meant["line_end"] = int(max(1, as_number(meant.get("line_start")) or 1) + count) - 1
        return meant


def _range(lines: Any) -> dict[str, Any]:
    """Return the first and the last line of a range: [3, 9], "3-9", or where it starts."""
    if isinstance(lines, list) and len(lines) == 2:
        return {"line_start": lines[0], "line_end": lines[1]}
    match = _LINES.fullmatch(str(lines).strip())
    return (
        {name: value for name, value in (("line_start", match["start"]), ("line_end", match["end"])) if value}
        if match
        else {}
    )


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
    call.language = real.suffix.removeprefix(".")
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
    if window.encoding != UTF_8:
        yield f"(the file is in {window.encoding})"
