"""What .gitignore names, for listing folders.

Knows .gitignore files. Knows nothing about tools.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import paths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LARGEST = 2**20


@dataclass(frozen=True, slots=True)
class Ignored:
    """The rules of a folder and of those above it, up to the repository's root; the innermost win."""

    rules: Sequence[tuple[Path, GitIgnoreSpec]] = ()

    @classmethod
    def around(cls, folder: Path) -> Ignored:
        """Return the rules of the folders above `folder`; none where they ignore the folder itself."""
        above = next((list(folder.parents[: index + 1]) for index, up in enumerate(folder.parents) if _is_root(up)), [])
        ignored = cls()
        for parent in reversed([] if _is_root(folder) else above):
            with paths.hold_folder(parent) as held:
                ignored = ignored.below(parent, held)
        return cls() if ignored.ignores(folder, is_folder=True) else ignored

    def below(self, folder: Path, held: int) -> Ignored:
        """Add the rules of `folder`, held open."""
        try:
            with open(paths.open_file(".gitignore", held), "rb") as file:  # noqa: PTH123 (a descriptor)
                lines = file.read(_LARGEST).decode("utf-8", "replace").splitlines()
        except (OSError, ToolError):
            return self
        return Ignored([*self.rules, (folder, GitIgnoreSpec.from_lines(filter(_is_rule, lines)))])

    def ignores(self, path: Path, *, is_folder: bool) -> bool:
        if path.name == ".git":
            return True
        for folder, spec in reversed(self.rules):
            name = os.path.relpath(path, folder) + "/" * is_folder
            verdict = spec.check_file(name).include
            if verdict is not None:
                return verdict
        return False


def _is_rule(line: str) -> bool:
    """Whether git would understand a line; what it does not it passes over."""
    try:
        GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return False
    return True


def _is_root(folder: Path) -> bool:
    return (folder / ".git").exists()
