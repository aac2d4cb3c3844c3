"""What the commands of a session may do to the machine, bounded by the system where it can do that.

Knows which files and sockets are worth what. Knows nothing about permission, nor how a program is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from platformdirs import user_cache_path, user_data_path, user_state_path

from gptoss_acp import own_files
from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import bubblewrap, paths, places
from gptoss_acp.workspace.bubblewrap import View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gptoss_acp.settings import Confinement

log = logging.getLogger(__name__)

Kind = Literal["full", "none"]

_SECRET_FOLDERS = (".ssh", ".gnupg", ".aws", ".config/gh")
_MOST_LOOKED_AT = 20_000
"""Entries of the home folder among which its sockets are looked for."""

_DEEPEST_SOCKET = 4
HOW_TO_GET_ONE = (
    "install bubblewrap, or allow it user namespaces"
    if sys.platform == "linux"
    else "there is none for this system yet"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sandboxed command may do besides reading."""

    writes: bool = True
    network: bool = False

    def __str__(self) -> str:
        writes = "writes only in the session's folders and /tmp" if self.writes else "writes only in /tmp"
        return f"in a sandbox: {writes}, {'with the network' if self.network else 'no network'}"


NOT_SANDBOXED = "not sandboxed"

_SIGNS = (
    *("Read-only file system", "Network is unreachable", "Network unreachable", "Temporary failure in name resolution"),
    *(
        "Could not resolve host",
        "Name or service not known",
        "No address associated with hostname",
        "EAI_AGAIN",
        "EROFS",
    ),
)
"""What programs say when a sandbox has kept them from writing, or from the network (strerror, getaddrinfo)."""


def stopped_by_sandbox(output: str) -> str | None:
    """Return the last line of a failed command's output that says so, if one does."""
    lines = (line.strip() for line in reversed(output.splitlines()))
    return next((line for line in lines if any(sign in line for sign in _SIGNS)), None)


class Sandbox:
    """The sandbox of one session, whose folders are `roots`; `setting` says whether there may or must be one."""

    def __init__(self, setting: Confinement, roots: Sequence[Path]) -> None:
        self._setting = setting
        self._roots = roots
        self._searched = setting == "off"
        self._program: str | None = None
        self._looked = False
        self._places = places.Places()
        self._hidden: list[Path] = []
        self._temporary: Path | None = None

    @property
    def temporary(self) -> Path:
        """The session's own folder for what is temporary, kept between commands and removed with the session."""
        if self._temporary is None:
            self._temporary = Path(os.path.realpath(tempfile.mkdtemp(prefix="gptoss-acp-")))
        return self._temporary

    async def find(self) -> None:
        """Find out once whether there is a sandbox."""
        if not self._searched:
            self._searched = True
            self._program = await asyncio.to_thread(bubblewrap.program, self._roots)
            log.info("commands run in %s", f"a sandbox ({self._program})" if self._program else "no sandbox")

    @property
    def kind(self) -> Kind:
        """Which sandbox has been found."""
        return "full" if self._program else "none"

    def told(self) -> str:
        """Return the line, behind a line break, that tells the model of the sandbox; nothing where there is none."""
        if self._program is None:
            return ""
        return "\nCommands: run in a sandbox; they write only in the working directory and have no network."

    async def prepare(self) -> None:
        """Look for what is to be protected, once.

        Raises:
            ToolError: a sandbox is required, and there is none.
        """
        await self.find()
        if self._setting == "require" and self._program is None:
            raise ToolError(f"a sandbox is required (--sandbox require), and there is none: {HOW_TO_GET_ONE}")
        if self._program and not self._looked:
            self._places, self._hidden = await asyncio.to_thread(self._look)
            self._looked = True

    def words(self, cwd: Path, limits: Limits) -> list[str]:
        """Return the words before those of a command that run it within limits, in the full sandbox that there is."""
        assert self._program is not None
        if limits.writes:
            writable, read_only = [*self._roots, *self._places.git], list(self._places.read_only)
        else:
            writable, read_only = [], [*self._roots, *self._places.git]
        view = View(self.temporary, writable, read_only, self._hidden, limits.network)
        return bubblewrap.words(self._program, view, cwd)

    async def tidy(self) -> list[str]:
        """Move aside what a command has put into protected places, and return what to say of it."""
        return await asyncio.to_thread(self._tidy)

    def close(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _look(self) -> tuple[places.Places, list[Path]]:
        return places.find(self._roots), list(_secrets())

    def _tidy(self) -> list[str]:
        kept, later = self._places.kept(), places.find(self._roots)
        appeared = [path for path in kept.appeared(later) if paths.is_in(path, self._roots)]
        told = [_moved_aside(path) for path in appeared]
        kept.add(places.find(self._roots) if told else later)
        self._places = kept
        return told


def _secrets() -> Iterator[Path]:
    """Yield what no command needs to see: keys, our own files, and sockets of programs outside."""
    home = Path.home()
    folders = [home / name for name in _SECRET_FOLDERS]
    folders += [own("gptoss-acp") for own in (user_data_path, user_state_path, user_cache_path)]
    yield from (Path(os.path.realpath(folder)) for folder in folders if folder.exists())
    yield from _sockets(home)


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


def _moved_aside(path: Path) -> str:
    aside = user_state_path("gptoss-acp") / "moved-aside" / f"{datetime.now().astimezone():%Y-%m-%d-%H%M%S-%f}"
    try:
        own_files.make_folder(aside)
        shutil.move(path, aside / path.name)
    except OSError as error:
        return f"(the command put {path} there, where others run or obey it, and it could not be moved aside: {error})"
    log.warning("moved aside: %s to %s", path, aside)
    return f"(the command put {path} there, where others run or obey it; it was moved aside to {aside / path.name})"
