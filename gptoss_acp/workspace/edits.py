"""What becomes of files on this machine's disk, all at once or not at all.

Takes resolved paths. Knows nothing about roots, permission or the editor.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import sys
from base64 import b64decode
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import files, paths
from gptoss_acp.workspace.encodings import UTF_8, Encoding
from gptoss_acp.workspace.files import Blob

if TYPE_CHECKING:
    from collections.abc import Sequence

_PERMISSIONS = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
"""Without set-id bits: a program that runs as somebody else shall not become another program."""


_BESIDE = re.compile(r"\.[0-9a-f]{12}\.gptoss-acp")
"""Names of what lies beside a file until it is in its place."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one file; None is a file that is not there.

    `moved_from` is the file whose mode it keeps; `mode` are the permission bits of a file that goes, or comes back.
    `unsaved`: it was given to the editor, and is not in the file on the disk. `encoding` is that of both texts; where
    that has several ways to write one, `was` and `becomes` are the bytes of either side in base 64, if known.
    """

    path: Path
    before: str | Blob | None
    after: str | Blob | None
    moved_from: Path | None = None
    mode: int | None = None
    unsaved: bool = False
    encoding: Encoding = UTF_8
    was: str | None = None
    becomes: str | None = None

    def reversed(self) -> Change:
        return replace(self, before=self.after, after=self.before, moved_from=None, was=self.becomes, becomes=self.was)

    @property
    def blob(self) -> Blob | None:
        """What goes or comes, if it is no text."""
        return next((content for content in (self.after, self.before) if isinstance(content, Blob)), None)

    def content(self, old: bytes | None) -> bytes:
        """Return the bytes of the text that comes, in place of the bytes `old`.

        Raises:
            ToolError: the encoding does not have one of its characters.
        """
        assert isinstance(self.after, str)
        return self.encoding.encode(self.after, old) if self.becomes is None else b64decode(self.becomes)

    @property
    def old_text(self) -> str | None:
        return self.before if isinstance(self.before, str) else None

    @property
    def new_text(self) -> str | None:
        return self.after if isinstance(self.after, str) else None

    @property
    def relies_on_guess(self) -> bool:
        """Whether characters that are none of ASCII's get written in an encoding that was guessed."""
        if not self.encoding.is_guess:
            return False
        old = set((self.old_text or "").split("\n"))
        return any(line not in old and not line.isascii() for line in (self.new_text or "").split("\n"))


def commit(changes: Sequence[Change]) -> None:
    """Make every change, or none.

    A file is replaced by renaming a new one over it, so that nobody sees it half-written; it keeps its mode. What is no
    text comes from the file that goes with it, else from where it is kept.

    Raises:
        ToolError: a file can't be written, or is not what it was when the change was made up; nothing has changed.
    """
    with contextlib.ExitStack() as held:
        staged = [_Staged(change) for change in changes]
        try:
            for item in staged:
                with paths.explained(item.change.path.name):
                    item.prepare(held)
            _refuse_one_file_twice(staged)
            for item in staged:
                with paths.explained(item.change.path.name):
                    item.put_in_place()
        except BaseException:
            for item in reversed(staged):
                item.take_back()
            raise
        for item in staged:
            item.finish()


def finish(change: Change) -> None:
    """Write the rest of a text that the end of an earlier process has left half written in its place, if it has.

    Then all of the text still lies beside the file.
    """
    if change.old_text is None or change.new_text is None:
        return
    with contextlib.suppress(OSError, ToolError), paths.hold_folder(change.path.parent) as folder:
        now = files.read_in(folder, change.path.name)
        new = change.content(now)
        for beside in [path.name for path in change.path.parent.iterdir() if _BESIDE.fullmatch(path.name)]:
            if files.read_in(folder, beside) == new:
                if now != new:
                    _write_over(folder, change.path.name, new, None)
                os.unlink(beside, dir_fd=folder)


@dataclass(slots=True)
class _Staged:
    """A change on its way: its folder held open, the new content lying beside the file, ready to be renamed.

    `in_place`: the file itself is written, for another under its name would not have all that it has. `aside` is the
    name of a file that goes and is no text, until all is done.
    """

    change: Change
    folder: int = -1
    made: list[Path] = field(default_factory=list)
    old: bytes | None = None
    content: bytes = b""
    mode: int | None = None
    new: str | None = None
    identity: tuple[int, int] | None = None
    in_place: bool = False
    aside: str | None = None
    done: bool = False

    @property
    def name(self) -> str:
        return self.change.path.name

    def prepare(self, held: contextlib.ExitStack) -> None:
        parent = self.change.path.parent
        before, after = self.change.before, self.change.after
        self.made = _missing_folders(parent) if after is not None else []
        self.folder = held.enter_context(paths.hold_folder(parent, create=after is not None))
        if isinstance(before, Blob):
            _check_same(self.change.path, before)
        else:
            self._check_unchanged(before)
        self._choose_mode()
        if isinstance(after, Blob):
            self.new = _place_beside(self.change, after, self.folder, self.mode)
        elif after is not None:
            self.content = self.change.content(self._bytes_before())
            self.new = _write_beside(self.folder, self.content, self.mode)
            self.in_place = self.old is not None and _has_more(self.name, self.new, self.folder)

    def put_in_place(self) -> None:
        if isinstance(self.change.before, Blob):
            aside = _new_name()
            os.rename(self.name, aside, src_dir_fd=self.folder, dst_dir_fd=self.folder)
            self.aside, self.done = aside, True
        if self.new is None:
            if self.aside is None:
                os.unlink(self.name, dir_fd=self.folder)
        elif self.in_place:
            self.done = True  # as good as: what a failure leaves is half of each
            _write_over(self.folder, self.name, self.content, self.mode)
            os.unlink(self.new, dir_fd=self.folder)
        else:
            os.replace(self.new, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        self.done = True

    def finish(self) -> None:
        if self.aside is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.aside, dir_fd=self.folder)

    def take_back(self) -> None:
        with contextlib.suppress(OSError):
            if self.new is not None and (self.in_place or not self.done):
                os.unlink(self.new, dir_fd=self.folder)
        if self.done:
            with contextlib.suppress(OSError):
                self._restore()
        for folder in self.made:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _restore(self) -> None:
        if self.aside is not None:
            os.rename(self.aside, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        elif self.old is None:
            os.unlink(self.name, dir_fd=self.folder)
        elif self.in_place:
            _write_over(self.folder, self.name, self.old, self.mode)
        else:
            temporary = _write_beside(self.folder, self.old, self.mode)
            os.replace(temporary, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)

    def _check_unchanged(self, before: str | None) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.old = files.read_in(self.folder, self.name)
            info = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
            self.identity = info.st_dev, info.st_ino
        if before is None and self.old is not None:
            raise ToolError("it already exists")
        encoding = self.change.encoding
        now = encoding.decode(self.old) if self.old is not None and encoding.fits(self.old) else None
        if now != before:
            raise ToolError("it has changed since it was read; read it again")

    def _bytes_before(self) -> bytes | None:
        """Return what the text was made from: what is there, or where it comes from."""
        if self.old is None and self.change.moved_from is not None and not self.change.encoding.is_exact:
            return files.read_bytes(self.change.moved_from)
        return self.old

    def _choose_mode(self) -> None:
        self.mode = self.change.mode
        with contextlib.suppress(FileNotFoundError):
            if self.change.moved_from is not None:
                self.mode = self.change.moved_from.stat(follow_symlinks=False).st_mode
            elif self.old is not None and self.mode is None:
                self.mode = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False).st_mode
        if self.mode is not None:
            self.mode &= _PERMISSIONS


def _refuse_one_file_twice(staged: Sequence[_Staged]) -> None:
    names: dict[tuple[int, int], str] = {}
    for item in staged:
        if item.identity is not None and item.change.after is not None:
            if other := names.get(item.identity):
                raise ToolError(f"{other} and {item.name} are one file; change it under one of its names")
            names[item.identity] = item.name


def copy(source: Path, target: Path, held: int, *, alone: bool = False) -> None:
    """Give a file a name more, in a folder held open, or put one like it there where it can't have that.

    `alone`: the one there shall have that name only, if the file has others already.

    Raises:
        OSError: it can't be had.
    """
    with paths.hold_folder(source.parent) as there:
        try:
            if alone and os.stat(source.name, dir_fd=there, follow_symlinks=False).st_nlink > 1:
                raise OSError  # noqa: TRY301 (as where it can't be)
            os.link(source.name, target.name, src_dir_fd=there, dst_dir_fd=held, follow_symlinks=False)
        except OSError:  # another file system, or another's file
            of, to = paths.as_cwd(source.parent, there), paths.as_cwd(target.parent, held)
            shutil.copy2(f"{of}/{source.name}", f"{to}/{target.name}", follow_symlinks=False)


def _check_same(path: Path, blob: Blob) -> None:
    if files.identify(path) != blob:
        raise ToolError("it has changed since it was read; look again")


def _place_beside(change: Change, blob: Blob, folder: int, mode: int | None) -> str:
    """Put what is no text beside its path, in a held folder, and return its name there."""
    source = change.moved_from or (Path(blob.kept) if blob.kept else None)
    if source is None or not source.exists() or files.identify(source) != blob:
        raise ToolError("what was in it is not kept any more")
    name = _new_name()
    beside = change.path.with_name(name)
    copy(source, beside, folder, alone=change.moved_from is None)
    if mode is not None and change.moved_from is None:
        with paths.hold_folder(beside.parent) as held:
            os.chmod(name, mode, dir_fd=held)
    return name


def _new_name() -> str:
    return f".{secrets.token_hex(6)}.gptoss-acp"


def _write_beside(folder: int, content: bytes, mode: int | None) -> str:
    """Write a new file into a held folder and return its name."""
    name = _new_name()
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


def _missing_folders(folder: Path) -> list[Path]:
    """Return `folder` and those above it that do not exist, the innermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing
