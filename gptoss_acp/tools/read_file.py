"""The tool that reads files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import Field

from gptoss_acp.errors import ToolError
from gptoss_acp.text import clip
from gptoss_acp.tools.arguments import Arguments

if TYPE_CHECKING:
    from gptoss_acp.tools.call import Call

MOST_LINES = 2000
LONGEST_LINE = 2000


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
    return await asyncio.to_thread(_numbered, text, arguments, shown, call.longest_output - 200)


def _numbered(text: str, arguments: ReadFile, shown: str, room: int) -> str:
    lines = text.removeprefix("\ufeff").removesuffix("\n").split("\n") if text else []
    if not lines:
        return "(empty file)"
    start = arguments.offset - 1
    if start >= len(lines):
        raise ToolError(f"{shown} has only {len(lines)} lines")
    numbered: list[str] = []
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
