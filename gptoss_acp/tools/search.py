"""The tool that searches files, with ripgrep."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import Field

from gptoss_acp.errors import ToolError
from gptoss_acp.text import clip_line
from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.workspace import paths, process

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from gptoss_acp.tools.call import Call

MOST_MATCHES = 200
LONGEST_MATCH = 300


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
