"""Files on this machine's disk, read within bounds: as text, or, where they are none, by what tells them from others.

Takes resolved paths. Knows nothing about roots, permission or the editor.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import encodings, paths

if TYPE_CHECKING:
    from pathlib import Path

    from gptoss_acp.workspace.encodings import Encoding

LARGEST_FILE = 10 * 2**20
"""Bytes of a file that is read as a whole."""


class NoTextError(ToolError):
    """A file is there, and can't be read as text: it is too large, or binary."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file that is no text, or too large a one; two of the same `identity` have the same content.

    `why` says that it is none; `kept` is where its content is when the file is gone.
    """

    size: int
    identity: str
    why: str = field(default="", compare=False)
    kept: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return ", ".join(filter(None, [f"{self.size:,} bytes", self.why.removeprefix("it is ")]))


def read_text(real: Path, encoding: Encoding | None = None, *, setting: str = "") -> tuple[str, Encoding]:
    """Return a file's text, with byte order mark and line ends as they are, and its encoding; `encoding` if that fits.

    `setting` is the encoding of files that do not say theirs.

    Raises:
        OSError: it can't be read.
        NoTextError: it is too large, or no text.
        ToolError: it is no regular file.
    """
    content = read_bytes(real)
    if encoding is not None and encoding.fits(content):
        return encoding.decode(content), encoding
    try:
        found = encodings.of(content, real, setting=setting)
        return found.decode(content), found
    except ToolError as error:
        raise NoTextError(str(error)) from None


def identify(real: Path, why: str = "") -> Blob:
    """Return what tells a file from others, whatever it holds; `why` it is taken for no text.

    The content of a file that is too large to be read whole is told by its size, its time and its ends.

    Raises:
        OSError: it can't be read.
        ToolError: it is no regular file.
    """
    with (
        paths.hold_folder(real.parent) as folder,
        open(paths.open_file(real.name, folder), "rb") as file,  # noqa: PTH123 (a descriptor)
    ):
        info = os.fstat(file.fileno())
        digest = hashlib.sha256(file.read(LARGEST_FILE))
        if info.st_size > LARGEST_FILE:
            file.seek(-LARGEST_FILE, os.SEEK_END)
            digest.update(file.read() + b"%d %d" % (info.st_size, info.st_mtime_ns))
    return Blob(info.st_size, digest.hexdigest(), why)


def read_bytes(real: Path, largest: int = LARGEST_FILE) -> bytes:
    """Return the content of a file of at most `largest` bytes.

    Raises:
        OSError: it can't be read.
        ToolError: it is no regular file, or too large.
    """
    with paths.hold_folder(real.parent) as folder:
        return read_in(folder, real.name, largest)


def read_small(real: Path, longest: int) -> str:
    """Return the text of a file of at most `longest` bytes, as the system's own programs read it.

    Raises:
        OSError: it can't be read.
        ToolError: it is no regular file, or larger.
    """
    with paths.hold_folder(real.parent) as folder:
        return os.fsdecode(read_in(folder, real.name, longest))


def size_of(real: Path) -> int:
    """Return a file's size in bytes, 0 where there is none."""
    try:
        return real.stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def changed_at(real: Path) -> int | None:
    """Return when the file last changed, in nanoseconds of the system's clock, or None where there is none."""
    try:
        return real.stat(follow_symlinks=False).st_ctime_ns
    except OSError:
        return None


def mode_of(real: Path) -> int | None:
    """Return a file's permission bits, or None where there is none."""
    try:
        return stat.S_IMODE(real.stat(follow_symlinks=False).st_mode)
    except OSError:
        return None


def read_in(folder: int, name: str, largest: int = LARGEST_FILE) -> bytes:
    """Return what `read_bytes` does of a file in a folder held open."""
    with open(paths.open_file(name, folder), "rb") as file:  # noqa: PTH123 (a descriptor)
        size = os.fstat(file.fileno()).st_size
        content = file.read(largest + 1) if size <= largest else b""
    if max(size, len(content)) > largest:
        raise NoTextError(f"it is too large: {size / 2**20:,.0f} MiB, the most is {largest / 2**20:,.3g} MiB")
    return content
