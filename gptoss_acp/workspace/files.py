"""Text files on this machine's disk: read within bounds, and changed all at once or not at all.

Takes resolved paths. Knows nothing about roots, permission or the editor.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import secrets
import stat
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import paths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LARGEST_FILE = 10 * 2**20
"""Bytes of a file that is read as a whole."""

_PERMISSIONS = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
"""Without set-id bits: a program that runs as somebody else shall not become another program."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one file; None is a file that is not there.

    `moved_from` is the file whose mode it keeps; `mode` are the permission bits of a file that goes, or comes back.
    `unsaved`: it was given to the editor, and is not in the file on the disk.
    """

    path: Path
    before: str | None
    after: str | None
    moved_from: Path | None = None
    mode: int | None = None
    unsaved: bool = False

    def reversed(self) -> Change:
        return Change(self.path, self.after, self.before, mode=self.mode)


def read_text(real: Path) -> str:
    """Return a file's text, with byte order mark and line ends as they are.

    Raises:
        OSError: it can't be read.
        ToolError: it is no regular file, too large, or not UTF-8 text.
    """
    return decode(read_bytes(real))


def read_bytes(real: Path) -> bytes:
    """Return a file's content.

    Raises:
        OSError: it can't be read.
        ToolError: it is no regular file, or too large.
    """
    with paths.hold_folder(real.parent) as folder:
        return _read(real.name, folder)


def read_small(real: Path, longest: int) -> str:
    """Return the text of a file of at most `longest` bytes, as the system's own programs read it.

    Raises:
        OSError: it can't be read.
        ToolError: it is no regular file, or larger.
    """
    with paths.hold_folder(real.parent) as folder:
        return os.fsdecode(_read(real.name, folder, longest))


def decode(content: bytes, *, start: int = 0, cut: bool = False) -> str:
    """Return the text of UTF-8 `content`, which begins at byte `start` of its file; `cut`: its end may be half of one.

    Raises:
        ToolError: it is binary, or in another encoding.
    """
    refuse_binary(content)
    try:
        return codecs.utf_8_decode(content, "strict", not cut)[0]
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 text: byte {content[error.start]:#04x} at position {start + error.start}"
        raise ToolError(problem) from None


def refuse_binary(content: bytes) -> None:
    """Say of content that is no text why it is none.

    Raises:
        ToolError: it is binary, or text in an encoding with null bytes.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ToolError("it is text in UTF-16 or UTF-32, and only UTF-8 can be read; convert it with iconv")
    if b"\0" in content:
        raise ToolError("it is a binary file")


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


def commit(changes: Sequence[Change]) -> None:
    """Make every change, or none.

    A file is replaced by renaming a new one over it, so that nobody sees it half-written; it keeps its mode.

    Raises:
        ToolError: a file can't be written, or is not what it was when the change was made up; nothing has changed.
    """
    with contextlib.ExitStack() as held:
        staged = [_Staged(change) for change in changes]
        try:
            for item in staged:
                with paths.explained(item.change.path.name):
                    item.prepare(held)
            for item in staged:
                with paths.explained(item.change.path.name):
                    item.put_in_place()
        except BaseException:
            for item in reversed(staged):
                item.take_back()
            raise


@dataclass(slots=True)
class _Staged:
    """A change on its way: its folder held open, the new content lying beside the file, ready to be renamed.

    `in_place`: the file itself is written, for another under its name would not have all that it has.
    """

    change: Change
    folder: int = -1
    made: list[Path] = field(default_factory=list)
    old: bytes | None = None
    mode: int | None = None
    new: str | None = None
    in_place: bool = False
    done: bool = False

    @property
    def name(self) -> str:
        return self.change.path.name

    def prepare(self, held: contextlib.ExitStack) -> None:
        parent = self.change.path.parent
        adding = self.change.after is not None
        self.made = _missing_folders(parent) if adding else []
        self.folder = held.enter_context(paths.hold_folder(parent, create=adding))
        self._check_unchanged()
        self._choose_mode()
        if self.change.after is not None:
            self.new = _write_beside(self.folder, self.change.after.encode(), self.mode)
            self.in_place = self.old is not None and _has_more(self.name, self.new, self.folder)

    def put_in_place(self) -> None:
        if self.new is None or self.change.after is None:
            os.unlink(self.name, dir_fd=self.folder)
        elif self.in_place:
            self.done = True  # as good as: what a failure leaves is half of each
            _write_over(self.folder, self.name, self.change.after.encode(), self.mode)
            os.unlink(self.new, dir_fd=self.folder)
        else:
            os.replace(self.new, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        self.done = True

    def take_back(self) -> None:
        with contextlib.suppress(OSError):
            if not self.done:
                if self.new is not None:
                    os.unlink(self.new, dir_fd=self.folder)
            elif self.old is None:
                os.unlink(self.name, dir_fd=self.folder)
            elif self.in_place:
                _write_over(self.folder, self.name, self.old, self.mode)
            else:
                temporary = _write_beside(self.folder, self.old, self.mode)
                os.replace(temporary, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        for folder in self.made:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _check_unchanged(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.old = _read(self.name, self.folder)
        before = self.change.before
        if before is None and self.old is not None:
            raise ToolError("it already exists")
        if self.old != (None if before is None else before.encode()):
            raise ToolError("it has changed since it was read; read it again")

    def _choose_mode(self) -> None:
        self.mode = self.change.mode
        with contextlib.suppress(FileNotFoundError):
            if self.change.moved_from is not None:
                self.mode = self.change.moved_from.stat(follow_symlinks=False).st_mode
            elif self.old is not None and self.mode is None:
                self.mode = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False).st_mode
        if self.mode is not None:
            self.mode &= _PERMISSIONS


def _write_beside(folder: int, content: bytes, mode: int | None) -> str:
    """Write a new file into a held folder and return its name."""
    name = f".{secrets.token_hex(6)}.gptoss-acp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(name, flags, 0o666, dir_fd=folder), "wb") as file:  # noqa: PTH123 (a descriptor)
        try:
            file.write(content)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
        except BaseException:
            os.unlink(name, dir_fd=folder)
            raise
    return name


def _write_over(folder: int, name: str, content: bytes, mode: int | None) -> None:
    """Write a file that is there."""
    descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor)
        file.write(content)
        file.truncate()
        if mode is not None:
            os.fchmod(file.fileno(), mode)


def _has_more(name: str, new: str, folder: int) -> bool:
    """Whether a file has what a new one in its place would not: another name, owner or group, or attributes (ACLs)."""
    was, becomes = (os.stat(one, dir_fd=folder, follow_symlinks=False) for one in (name, new))
    if was.st_nlink > 1 or (was.st_uid, was.st_gid) != (becomes.st_uid, becomes.st_gid):
        return True
    return _attributes(name, folder) != _attributes(new, folder)


def _attributes(name: str, folder: int) -> list[tuple[str, bytes]]:
    if sys.platform != "linux":
        return []
    descriptor = paths.open_file(name, folder)
    try:
        return [(attribute, os.getxattr(descriptor, attribute)) for attribute in sorted(os.listxattr(descriptor))]
    except OSError:  # the file system has none
        return []
    finally:
        os.close(descriptor)


def _read(name: str, folder: int, largest: int = LARGEST_FILE) -> bytes:
    with open(paths.open_file(name, folder), "rb") as file:  # noqa: PTH123 (a descriptor)
        size = os.fstat(file.fileno()).st_size
        content = file.read(largest + 1) if size <= largest else b""
    if max(size, len(content)) > largest:
        raise ToolError(f"it is too large: {size / 2**20:,.0f} MiB, the most is {largest / 2**20:,.3g} MiB")
    return content


def _missing_folders(folder: Path) -> list[Path]:
    """Return `folder` and those above it that do not exist, the innermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing
