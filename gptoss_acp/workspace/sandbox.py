"""What the commands of a session may do to the machine, bounded by the system where it can do that.

Knows which places of a session are protected. Knows nothing about permission, nor how a program is started.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from platformdirs import user_state_path

from gptoss_acp import own_files
from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import hidden, mechanisms, paths, places, protected, supervisor
from gptoss_acp.workspace.mechanisms import HOW_TO_GET_ONE, NOT_SANDBOXED
from gptoss_acp.workspace.temporary import TemporaryFolder
from gptoss_acp.workspace.view import Limits, View

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gptoss_acp.settings import Confinement, ServerConfinement

log = logging.getLogger(__name__)

Kind = Literal["full", "partial", "none"]


class Sandbox:
    """The sandbox of one session, whose folders are `roots`; `setting` says whether there may or must be one.

    `servers` says whether the programs of MCP servers run in it too; `has_servers` whether some do, which are at work
    whenever they like.
    """

    def __init__(self, setting: Confinement, roots: Sequence[Path], servers: ServerConfinement = "off") -> None:
        self._setting = setting
        self._servers = servers
        self._roots = roots
        self._one_at_a_time = asyncio.Lock()
        self._has_searched = setting == "off"
        self._mechanism: mechanisms.Mechanism | None = None
        self._has_looked = False
        self._places = places.Places()
        self._hidden: list[Path] = []
        self._temporary: TemporaryFolder | None = None
        self.has_servers = False

    @property
    def temporary(self) -> Path:
        """The session's own folder for what is temporary, kept between commands and removed with the session."""
        if self._temporary is None:
            self._temporary = TemporaryFolder()
        return self._temporary.path

    async def find(self) -> None:
        """Find out once whether there is a sandbox."""
        async with self._one_at_a_time:
            if not self._has_searched:
                self._mechanism = await asyncio.to_thread(mechanisms.find, self._roots)
                self._has_searched = True
                name = self._mechanism.name if self._mechanism else None
                log.info("commands run in %s", f"a sandbox ({name})" if name else f"no sandbox: {self.missing}")

    @property
    def kind(self) -> Kind:
        """Which sandbox has been found."""
        return self._mechanism.kind if self._mechanism else "none"

    @property
    def missing(self) -> str:
        """What would give this session a full sandbox, in words for users; nothing where it has one."""
        if self.kind == "full":
            return ""
        return "it is switched off (--sandbox off)" if self._setting == "off" else HOW_TO_GET_ONE

    @property
    def own_tmp(self) -> bool:
        """Whether the session's temporary folder is what its commands see as `/tmp`."""
        return self._mechanism is not None and self._mechanism.own_tmp

    @property
    def joins(self) -> bool:
        """Whether commands can join what runs in the background, which they would else not reach."""
        return self._mechanism is not None and self._mechanism.joins

    def said(self, limits: Limits | None) -> str:
        """Return what holds for a command, in words for users; None is without a sandbox."""
        return self._mechanism.said(limits) if self._mechanism and limits else NOT_SANDBOXED

    def told(self) -> str:
        """Return the line, behind a line break, that tells the model of the sandbox; nothing where there is none."""
        if self.kind != "full":
            return ""
        return "\nCommands: run in a sandbox; they write only in the working directory and have no network."

    async def prepare(self) -> None:
        """Look for what is to be protected, once.

        Raises:
            ToolError: a full sandbox is required, and there is none.
        """
        await self.find()
        if self._setting == "require" and self.kind != "full":
            only = "none" if self.kind == "none" else "a partial one only"
            raise ToolError(f"a sandbox is required (--sandbox require), and there is {only}: {self.missing}")
        async with self._one_at_a_time:
            if self._mechanism and not self._has_looked:
                self._places, self._hidden = await asyncio.to_thread(self._look)
                self._has_looked = True

    def words(self, cwd: Path, limits: Limits | None) -> list[str]:
        """Return the words before those of a command that run it within limits, or without any and supervised."""
        if self._mechanism is None or limits is None:
            return supervisor.words(str(cwd))
        if limits.writes:
            writable, read_only = [*self._roots, *self._places.git], list(self._places.read_only)
        else:
            writable, read_only = [], [*self._roots, *self._places.git]
        view = View(self.temporary, writable, read_only, [*self._hidden, *hidden.secrets()], limits.network)
        return self._mechanism.words(view, cwd)

    async def server_words(self, cwd: Path) -> list[str]:
        """Return the words before those of an MCP server that start it in the sandbox, if it is to be there.

        Raises:
            ToolError: it is to be, and there is no full sandbox.
        """
        if self._servers == "off":
            return []
        await self.prepare()
        if self.kind != "full":
            raise ToolError(f"it is to run in a sandbox (--sandbox-servers), and there is none: {self.missing}")
        self.has_servers = True
        words = self.words(cwd, Limits(network=self._servers == "network"))
        return [*words, "/usr/bin/env", f"TMPDIR={self.temporary}"]

    def what_stopped(self, output: str) -> str | None:
        """Return the last line of a failed command's output that says the sandbox has kept it from something."""
        signs = self._mechanism.signs if self._mechanism else ()
        lines = (line.strip() for line in reversed(output.splitlines()))
        return next((line for line in lines if any(sign in line for sign in signs)), None)

    async def take_in(self, files: Sequence[Path]) -> None:
        """Protect the places of these files, which the user has allowed to be written, as those that were there."""
        names = {protected.plain_name(part) for file in files for part in file.parts}
        if self._has_looked and any(name in protected.OBEYED or protected.is_git(name) for name in names):
            await asyncio.to_thread(self._take_in, files)

    async def tidy(self, since: int) -> list[str]:
        """Move aside what commands have put into protected places, and return what to say of it.

        What was there before `since`, in nanoseconds of the system's clock, is somebody else's, the user's say.
        """
        return await asyncio.to_thread(self._tidy, since) if self._has_looked else []

    def close(self) -> None:
        if self._temporary is not None:
            self._temporary.remove()
            self._temporary = None

    def _look(self) -> tuple[places.Places, list[Path]]:
        return places.find(self._roots), list(hidden.find())

    def _take_in(self, files: Sequence[Path]) -> None:
        found = places.find(self._roots)
        self._places.add(found.above(files))

    def _tidy(self, since: int) -> list[str]:
        kept, later = self._places.kept(), places.find(self._roots)
        inside = [path for path in kept.appeared(later) if paths.is_in(path, self._roots)]
        appeared = [put for path in inside for put in places.put_there(path, since, self._roots)]
        told = [_moved_aside(path) for path in appeared]
        kept.add(places.find(self._roots) if told else later)
        self._places = kept
        return told


def _moved_aside(path: Path) -> str:
    aside = user_state_path("gptoss-acp") / "moved-aside" / f"{datetime.now().astimezone():%Y-%m-%d-%H%M%S-%f}"
    try:
        own_files.make_folder(aside)
        with paths.hold_folder(path.parent) as held:
            shutil.move(f"{paths.as_cwd(path.parent, held)}/{path.name}", aside / path.name)
    except OSError as error:
        return f"(the command put {path} there, where others run or obey it, and it could not be moved aside: {error})"
    log.warning("moved aside: %s to %s", path, aside)
    return f"(the command put {path} there, where others run or obey it; it was moved aside to {aside / path.name})"
