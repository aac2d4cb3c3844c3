"""Where the agent may work: the session's roots, and opening what is in them without being led elsewhere.

A path is first resolved, through every symlink, and judged. It is then opened component by component from `/` with
symlinks refused, so that one swapped in after the judgement makes the opening fail. Knows nothing about tools.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from gptoss_acp.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# O_PATH asks for no permission to read the folders on the way; macOS has no such flag.
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)


class Roots:
    """The folders of a session: the working directory and the additional ones, resolved once and for all."""

    def __init__(self, cwd: Path, additional: Sequence[Path] = ()) -> None:
        self.cwd = Path(os.path.realpath(cwd))
        self._roots = [self.cwd, *(Path(os.path.realpath(root)) for root in additional)]

    def resolve(self, path: str) -> Path:
        """Return the real absolute path that the model means by `path`, whether it exists or not.

        Raises:
            ToolError: no path can be meant.
        """
        return Path(os.path.realpath(self._meant(path)))

    def is_link(self, path: str) -> bool:
        """Whether what the model means by `path` is itself a symlink.

        Raises:
            ToolError: no path can be meant.
        """
        return os.path.islink(self._meant(path))  # noqa: PTH114 (Path's raises where the name is too long)

    def _meant(self, path: str) -> Path:
        if "\0" in path:
            raise ToolError("invalid path: it holds a null character")
        if path.startswith("file://"):
            path = unquote(urlsplit(path).path)
        if path == "~" or path.startswith("~/"):
            path = str(Path(path).expanduser())
        return self.cwd / path

    def contain(self, real: Path) -> bool:
        """Whether a resolved path is in one of the roots.

        Compared as spelt: on a file system that ignores case, another spelling of a root counts as outside.
        """
        return any(real.is_relative_to(root) for root in self._roots)

    def shown(self, real: Path) -> str:
        """Return a resolved path as the model and the user see it: relative where it is below the working directory."""
        return str(real.relative_to(self.cwd)) if real.is_relative_to(self.cwd) else str(real)


@contextlib.contextmanager
def hold_folder(real: Path, *, create: bool = False) -> Iterator[int]:
    """Open a resolved folder; `create` makes it, and those above it, where they are missing.

    Raises:
        OSError: it is missing, no folder, or was replaced by a symlink.
    """
    fd = os.open("/", _FOLDER)
    try:
        for part in real.parts[1:]:
            inner = _open_part(part, fd, create=create)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def as_cwd(real: Path, held: int) -> str:
    """Return a path by which a program can be started in a held folder, on Linux in that and no other."""
    return f"/proc/self/fd/{held}" if Path("/proc/self/fd").exists() else str(real)


def _open_part(part: str, fd: int, *, create: bool) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=fd)
    except FileNotFoundError:
        if not create:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(part, dir_fd=fd)
    return os.open(part, _FOLDER, dir_fd=fd)


def open_file(name: str, folder: int) -> int:
    """Open the regular file `name` in a held folder for reading. Never waits, as a FIFO would make it.

    Raises:
        OSError: it can't be opened, or was replaced by a symlink.
        ToolError: it is no regular file.
    """
    _refuse_special(os.stat(name, dir_fd=folder, follow_symlinks=False))
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        _refuse_special(os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refuse_special(info: os.stat_result) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(0, "Is a folder")
    if stat.S_ISLNK(info.st_mode):
        raise ToolError("the path changed while it was being opened")
    if not stat.S_ISREG(info.st_mode):
        raise ToolError("it is no regular file but a device, a pipe or a socket")


@contextlib.contextmanager
def explained(shown: str) -> Iterator[None]:
    """Turn what the system and the rooms below say about a file into words for the model, with the file's name."""
    try:
        yield
    except ToolError as error:
        raise ToolError(f"{shown}: {error}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ToolError(f"{reason[:1].lower()}{reason[1:]}: {shown[:300]}") from None
