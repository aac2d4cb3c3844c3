"""What no sandboxed command needs to see: keys, our own files, and sockets of programs outside."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path, user_data_path, user_state_path

from gptoss_acp import own_files

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECRETS = (
    *(".ssh", ".gnupg", ".aws", ".azure", ".kube", ".config/gh", ".config/gcloud", ".docker/config.json"),
    *(".netrc", ".git-credentials", ".config/git/credentials", ".pypirc", ".cargo/credentials.toml"),
    *(".cache/huggingface/token", ".cache/huggingface/stored_tokens"),
)
_MOST_LOOKED_AT = 20_000
"""Entries of the home folder among which its sockets are looked for."""

_DEEPEST_SOCKET = 4


def find() -> Iterator[Path]:
    """Yield the folders of ours, made where they are missing, and the sockets, resolved, that there are now."""
    for folder in own():
        with contextlib.suppress(OSError):
            own_files.make_folder(folder)
            yield folder
    yield from _sockets(Path.home())


def own() -> list[Path]:
    """Return the folders of ours, resolved, whether they are there or not."""
    return [Path(os.path.realpath(of("gptoss-acp"))) for of in (user_data_path, user_state_path, user_cache_path)]


def secrets() -> list[Path]:
    """Return the keys, resolved, that there are now."""
    home = Path.home()
    return [Path(os.path.realpath(home / name)) for name in _SECRETS if (home / name).exists()]


def _sockets(home: Path) -> Iterator[Path]:
    waiting, looked = [home], 0
    while waiting and looked < _MOST_LOOKED_AT:
        folder = waiting.pop(0)
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                looked += 1
                if entry.is_dir(follow_symlinks=False):
                    if len(Path(entry.path).parts) < len(home.parts) + _DEEPEST_SOCKET:
                        waiting.append(Path(entry.path))
                elif not entry.is_file() and stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                    yield Path(entry.path)
