"""What was removed and is no text, kept for a while, so that `/undo` can bring it back.

Knows where. Knows nothing about turns.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from pathlib import Path

from platformdirs import user_state_path

from gptoss_acp import own_files
from gptoss_acp.workspace import edits, paths

DAYS = 30


def keep(real: Path) -> Path:
    """Keep what a file holds, also when the file is gone, and return where.

    Raises:
        OSError: it can't be kept.
    """
    _forget_old()
    place = _folder() / uuid.uuid4().hex
    own_files.make_folder(place)
    with paths.hold_folder(Path(os.path.realpath(place))) as held:
        edits.copy(real, place / real.name, held, alone=True)
    return place / real.name


def forget(kept: Path) -> None:
    """Keep it no longer, if it is kept here."""
    if kept.parent.parent == _folder():
        shutil.rmtree(kept.parent, ignore_errors=True)


def _forget_old() -> None:
    with contextlib.suppress(OSError):
        for place in _folder().iterdir():
            if place.stat(follow_symlinks=False).st_mtime < time.time() - DAYS * 86400:
                shutil.rmtree(place, ignore_errors=True)


def _folder() -> Path:
    return user_state_path("gptoss-acp") / "removed"
