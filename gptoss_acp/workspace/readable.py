"""What may be read without a question although it is outside of a session's roots: folders that the model was told of.

Never a folder that holds the session's, the user's home, keys or our own files. Knows paths. Knows nothing about what
the folders are for.
"""

from __future__ import annotations

import os
from pathlib import Path

from gptoss_acp.workspace import hidden, paths


class Readable:
    """The files and folders of one session that were told, by the paths that they were told by."""

    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd
        self._told: dict[Path, Path] = {}

    def add(self, path: Path) -> None:
        """Let a file, or a folder and all that is in it, be read."""
        self._told[path] = Path(os.path.realpath(path))

    def hold(self, path: Path, real: Path) -> bool:
        """Whether an absolute path is in one of them, as it is written and as it is resolved, to `real`."""
        return any(
            real.is_relative_to(place) and paths.is_in(path, (told, place)) and not self._is_too_much(place)
            for told, place in self._told.items()
        )

    def _is_too_much(self, place: Path) -> bool:
        secrets = hidden.secrets()
        kept = [self._cwd, Path(os.path.realpath(Path.home())), *secrets, *hidden.own()]
        return any(each.is_relative_to(place) for each in kept) or any(place.is_relative_to(key) for key in secrets)
