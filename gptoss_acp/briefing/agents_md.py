"""What a project tells every agent: the AGENTS.md files that hold in a folder.

Never waits and never fails: what can't be read is left out, and told. Knows nothing about prompts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_config_path

from gptoss_acp.briefing import git
from gptoss_acp.errors import ToolError
from gptoss_acp.text import code_span
from gptoss_acp.workspace import files
from gptoss_acp.workspace.protected import INSTRUCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST_NOTES = 32 * 1024
"""Bytes of all AGENTS.md files together; about 8,000 tokens."""


def notes(folder: Path, tell: Callable[[str], None]) -> str:
    """Return every AGENTS.md that holds in `folder`: the user's own, then from the repository's root down to it.

    Each stands behind a blank line, to follow the instructions. Without a repository, only the one in `folder` itself.
    Where all are too long, the nearer ones are kept. `tell` gets a sentence for the user about what is left out.
    """
    room = LONGEST_NOTES
    parts: list[str] = []
    for file, bounds in _files(folder):
        text = _text(file, bounds, tell)
        kept = text.encode()[:room].decode(errors="ignore")
        room = max(0, room - len(text.encode()))
        if len(kept) < len(text):
            tell(f"{code_span(str(file))} is cut: all {INSTRUCTIONS} together are longer than {LONGEST_NOTES:,} bytes.")
            kept += "\n(The rest was left out; read the file if you need it.)" if kept else ""
        if kept:
            parts.append(f"\n\nInstructions from {file}:\n\n{kept}")
    return "".join(reversed(parts))


def _files(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield where an AGENTS.md may be, the nearest first, each with the folder that it may not lead out of."""
    upward = git.upward(folder)
    for inner in upward:
        yield inner / INSTRUCTIONS, upward[-1]
    yield user_config_path("gptoss-acp") / INSTRUCTIONS, Path("/")


def _text(file: Path, bounds: Path, tell: Callable[[str], None]) -> str:
    """Return what a file says, or nothing where it can't be read or is a symlink that leads out of `bounds`."""
    try:
        real = Path(os.path.realpath(file))
        if not real.is_relative_to(os.path.realpath(bounds)):
            tell(f"{code_span(str(file))} is left out: it leads out of {code_span(str(bounds))}.")
            return ""
        text, encoding = files.read_text(real)
        if encoding.is_guess:
            tell(f"{code_span(str(file))} is taken for text in {encoding.name}, which is a guess; save it as UTF-8.")
        return text.removeprefix("\ufeff").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ToolError) as error:
        tell(f"{code_span(str(file))} is left out: {error}.")
        return ""
