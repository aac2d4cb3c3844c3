"""Where the agent may work: the session's roots, and opening what is in them without being led elsewhere.

A path is first resolved, through every symlink, and judged. It is then opened component by component from `/` with
symlinks refused, so that one swapped in after the judgement makes the opening fail. Knows nothing about tools.
"""

from __future__ import annotations

import contextlib
import os
import stat
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from gptoss_acp.errors import ToolError
from gptoss_acp.text import LONGEST_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# O_PATH asks for no permission to read the folders on the way; macOS has no such flag.
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)


_MOST_WRITTEN = 1_000

_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")

_TEMPORARY = Path("/tmp")  # noqa: S108 (a name)


class Roots:
    """The folders of a session: the working directory and the additional ones, resolved once and for all."""

    def __init__(self, cwd: Path, additional: Sequence[Path] = ()) -> None:
        given = [cwd, *additional]
        self.folders = [Path(os.path.realpath(root)) for root in given]
        self.cwd = self.folders[0]
        as_given = [Path(os.path.normpath(root)) for root in given]
        self._spellings = {*as_given, *self.folders}
        self._spellings_of_cwd = (self.cwd, as_given[0])
        self._written: dict[Path, str] = {}
        self._temporary: Path | None = None
        self._is_tmp = False

    def take_temporary(self, folder: Path, *, is_tmp: bool) -> None:
        """Let the resolved folder of what is temporary be the session's too; `is_tmp`: it is its commands' `/tmp`."""
        self._temporary, self._is_tmp = folder, is_tmp
        self._spellings.add(folder)

    def resolve(self, path: str) -> Path:
        """Return the real absolute path that the model means by `path`, whether it exists or not.

        Raises:
            ToolError: no path can be meant.
        """
        meant = self._meant(path)
        try:
            real = Path(os.path.realpath(meant))
        except OSError as error:
            raise ToolError(f"{error.strerror}: {path[:300]}") from None
        except UnicodeEncodeError:
            raise ToolError("invalid path: it holds half of a character") from None
        if self.contain(real) and not os.path.lexists(real):
            real = _as_typed(real, self.folders)
        self._written.pop(real, None)
        self._written[real] = self._relative(Path(os.path.normpath(meant)))
        if len(self._written) > _MOST_WRITTEN:
            del self._written[next(iter(self._written))]
        return real

    def absolute(self, path: str) -> str:
        """Return what the model means by `path` as an absolute path, no symlink followed.

        Raises:
            ToolError: no path can be meant.
        """
        return os.path.normpath(self._meant(path))

    def is_link(self, path: str) -> bool:
        """Whether what the model means by `path` is itself a symlink.

        Raises:
            ToolError: no path can be meant.
        """
        return os.path.islink(self._meant(path))  # noqa: PTH114 (Path's raises where the name is too long)

    def hold(self, path: str, real: Path) -> bool:
        """Whether `path` is in one of the roots, as it is written and as it is resolved, to `real`.

        Compared as spelt: on a file system that ignores case, another spelling of a root counts as outside.

        Raises:
            ToolError: no path can be meant.
        """
        return is_in(Path(self.absolute(path)), self._spellings) and self.contain(real)

    def contain(self, real: Path) -> bool:
        """Whether a resolved path is in one of the roots."""
        return is_in(real, [*self.folders, self._temporary] if self._temporary else self.folders)

    def shown(self, real: Path) -> str:
        """Return a resolved path as the model last wrote it, or the folder that it is in.

        What it did not write is relative where it is below the working directory. So no message tells where a symlink
        leads.
        """
        if real in self._written:
            return self._written[real]
        above = next((folder for folder in real.parents if folder in self._written and folder != self.cwd), None)
        if above is None:
            return self._relative(real)
        return str(Path(self._written[above], real.relative_to(above)))

    def _relative(self, path: Path) -> str:
        if self._temporary and self._is_tmp and path.is_relative_to(self._temporary):
            return str(_TEMPORARY / path.relative_to(self._temporary))
        above = next((cwd for cwd in self._spellings_of_cwd if path.is_relative_to(cwd)), None)
        return str(path.relative_to(above) if above else path)

    def _meant(self, path: str) -> Path:
        if "\0" in path:
            raise ToolError("invalid path: it holds a null character")
        if path.startswith("file://"):
            path = unquote(urlsplit(path).path)
        if path == "~" or path.startswith("~/"):
            path = str(Path(path).expanduser())
        if len(path.encode(errors="surrogatepass")) > LONGEST_PATH:
            raise ToolError(f"invalid path: it is longer than {LONGEST_PATH:,} bytes")
        meant = self.cwd / path
        if self._temporary and self._is_tmp and meant.is_relative_to(_TEMPORARY) and not is_in(meant, self._spellings):
            return self._temporary / meant.relative_to(_TEMPORARY)
        return meant


def _as_typed(real: Path, roots: Sequence[Path]) -> Path:
    """Return the path, in the roots, whose names look as those of `real` do; `real` itself where there is not just one.

    Nobody types a no-break space or a decomposed accent, and what does not exist is hardly meant.
    """
    folder = next(above for above in (real, *real.parents) if os.path.lexists(above) or above in roots)
    found = folder
    for part in real.relative_to(folder).parts:
        try:
            like = [name for name in os.listdir(found) if _looks(name) == _looks(part)]  # noqa: PTH208 (names only)
        except OSError:
            return real
        if len(like) != 1 or (found / like[0]).is_symlink():
            return real
        found /= like[0]
    return found


def _looks(name: str) -> str:
    return unicodedata.normalize("NFKC", name).translate(_QUOTES)


def is_in(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a path is one of the folders or below one, as they are spelt."""
    return any(path.is_relative_to(folder) for folder in folders)


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


def is_still_at(real: Path, held: int) -> bool:
    """Whether a resolved folder is still the one that is held, and reached through no symlink."""
    try:
        with hold_folder(real) as now:
            return os.path.samestat(os.fstat(now), os.fstat(held))
    except OSError:
        return False


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
        raise type(error)(f"{shown}: {error}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ToolError(f"{reason[:1].lower()}{reason[1:]}: {shown[:300]}") from None
