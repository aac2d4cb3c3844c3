"""Whether the folders of ours are for this user alone, can be written, and have room. Changes nothing in them."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING

from platformdirs import user_cache_path, user_config_path, user_data_path, user_state_path

from gptoss_acp.cli.checks.finding import Finding, readable, whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gptoss_acp.settings import Settings

LEAST_FREE = 10**9
"""Bytes of a disk: contexts that survive a restart take several hundred megabytes each."""

MOST_COUNTED = 50_000
"""Files of a folder whose sizes are added up: a second's work."""

_PLACES = {
    "data": user_data_path,
    "state": user_state_path,
    "cache": user_cache_path,
    "settings": user_config_path,
}


def folders(_: Settings) -> Iterator[Finding]:
    """Say of each folder of ours what it takes, and what is wrong with it."""
    for folder, name in _ours().items():
        place = _that_is_there(folder)
        if not place.is_dir():
            yield Finding(name, "fix", f"{whole(folder)}: {whole(place)} is no folder", "Move it away.")
            continue
        is_there = place == folder
        found = f"{whole(folder)}, {_size(folder) if is_there else 'not there yet'}"
        is_private = is_there and name != "settings"
        problems = [*_not_writable(name, place, found), *(_open_to_others(name, folder, found) if is_private else ())]
        alone = ", for you alone" if is_private else ""
        yield from problems or [Finding(name, "ok", f"{found}{alone}")]


def disks(_: Settings) -> Iterator[Finding]:
    """Say of each disk that has folders of ours how much is free."""
    on_disk: dict[int, list[str]] = defaultdict(list)
    free: dict[int, int] = {}
    for folder, name in _ours().items():
        place = _that_is_there(folder)
        disk = place.stat().st_dev
        on_disk[disk].append(name)
        free[disk] = shutil.disk_usage(place).free
    for disk, names in on_disk.items():
        found = f"{readable(free[disk])} free for {', '.join(names)}"
        if free[disk] < LEAST_FREE:
            yield Finding("disk", "fix", found, f"Free {readable(LEAST_FREE)} and more there.")
        else:
            yield Finding("disk", "ok", found)


def _ours() -> dict[Path, str]:
    """Return our folders and what each is for; on macOS one is for two things."""
    ours: dict[Path, str] = {}
    for name, path in _PLACES.items():
        folder = path("gptoss-acp")
        ours[folder] = f"{ours[folder]}, {name}" if folder in ours else name
    return ours


def _that_is_there(folder: Path) -> Path:
    """Return a folder, or of those above it the first that is there."""
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _size(folder: Path) -> str:
    """Return what the files below a folder take."""
    sizes = list(islice(_sizes(folder), MOST_COUNTED + 1))
    return f"{'more than ' if len(sizes) > MOST_COUNTED else ''}{readable(sum(sizes))}"


def _sizes(folder: Path) -> Iterator[int]:
    """Yield what each file takes of the disk; what can't be read, or goes meanwhile, is of no account."""
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(f"{parent}/{name}").st_blocks * 512
            except OSError:
                continue


def _not_writable(name: str, place: Path, found: str) -> Iterator[Finding]:
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding(name, "fix", f"{found}: {whole(place)} can't be written", "Let this user write there.")


def _open_to_others(name: str, folder: Path, found: str) -> Iterator[Finding]:
    info = folder.stat()
    if info.st_uid != os.getuid():
        yield Finding(name, "look", f"{found}, is another user's", "Run the program as that user, or take it over.")
    elif info.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        advice = f"{whole(f'chmod 700 {shlex.quote(str(folder))}')} keeps it for you alone."
        yield Finding(name, "look", f"{found}, is open to other users", advice)
