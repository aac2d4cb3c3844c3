"""What git's own files say of a folder: its repository, and the branch that is checked out.

Runs no git. Never waits and never fails: what can't be read is not there. Knows nothing about prompts.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from gptoss_acp.errors import ToolError
from gptoss_acp.text import LONGEST_PATH
from gptoss_acp.workspace import files, protected

_ON_BRANCH = re.compile(r"ref: refs/heads/([^\s.]\S{0,249})\n?")


def branch(folder: Path) -> str | None:
    """Return the branch that is checked out in `folder`; None outside a repository, and where no branch is."""
    found = repository(folder)
    match = _ON_BRANCH.fullmatch(found[1]) if found else None
    return match[1] if match and match[1].isprintable() else None


def repository(folder: Path) -> tuple[Path, str] | None:
    """Return the root of the repository that holds `folder`, and its HEAD.

    As for git, one further up counts only if it is the user's own: anybody can leave one in a shared folder.
    """
    for root in (folder, *folder.parents):
        try:
            own = (root / ".git").stat().st_uid == os.getuid()
            head = _head(root / ".git")
        except (OSError, ToolError):
            continue
        return (root, head) if own or root == folder else None
    return None


def upward(folder: Path) -> list[Path]:
    """Return the folder and those above it up to the root of its repository; outside of one, only itself."""
    found = repository(folder)
    above = [folder, *folder.parents]
    return above[: above.index(found[0]) + 1] if found else above[:1]


def _head(git: Path) -> str:
    folder = next(protected.git_folders(git), git)
    return files.read_small(Path(os.path.realpath(folder / "HEAD")), LONGEST_PATH)
