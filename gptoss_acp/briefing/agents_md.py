"""What a project tells every agent: the AGENTS.md files that hold in a folder.

Never waits and never fails: what can't be read is left out. Knows nothing about prompts.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_config_path

from gptoss_acp.briefing import git
from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import files

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

NAME = "AGENTS.md"
LONGEST_NOTES = 32 * 1024
"""Bytes of all AGENTS.md files together; about 8,000 tokens."""


def notes(folder: Path) -> str:
    """Return every AGENTS.md that holds in `folder`: the user's own, then from the repository's root down to it.

    Each stands behind a blank line, to follow the instructions. Without a repository, only the one in `folder` itself.
    Where all are too long, the nearer ones are kept.
    """
    room = LONGEST_NOTES
    parts: list[str] = []
    for file, bounds in _files(folder):
        text = _text(file, bounds)
        kept = text.encode()[:room].decode(errors="ignore")
        room = max(0, room - len(text.encode()))
        if len(kept) < len(text):
            log.warning("%s is cut: all %s together are longer than %d bytes", file, NAME, LONGEST_NOTES)
            kept += "\n(The rest was left out; read the file if you need it.)" if kept else ""
        if kept:
            parts.append(f"\n\nInstructions from {file}:\n\n{kept}")
    return "".join(reversed(parts))


def _files(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield where an AGENTS.md may be, the nearest first, each with the folder that it may not lead out of."""
    repository = git.repository(folder)
    root = repository[0] if repository else folder
    for inner in (folder, *folder.parents):
        yield inner / NAME, root
        if inner == root:
            break
    yield user_config_path("gptoss-acp") / NAME, Path("/")


def _text(file: Path, bounds: Path) -> str:
    """Return what a file says, or nothing where it can't be read or is a symlink that leads out of `bounds`."""
    try:
        real = Path(os.path.realpath(file))
        if not real.is_relative_to(os.path.realpath(bounds)):
            log.warning("%s is left out: it leads out of %s", file, bounds)
            return ""
        return files.read_text(real).removeprefix("\ufeff").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ToolError) as error:
        log.warning("%s is left out: %s", file, error)
        return ""
