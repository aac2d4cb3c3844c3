"""Where the protected places of a session are: looked for once, and again after each command, for what has appeared.

Knows folders and what git keeps in them. Knows nothing about how a place is kept from being written.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gptoss_acp.workspace import files, paths, protected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Identity = tuple[int, int, int]
"""Device, inode and kind of what is at a path."""

_OF_A_REPOSITORY = ("config", "config.worktree", "hooks", "info", "commondir", "gitdir")
"""What in a repository says which programs git runs, and where the rest of it is (gitrepository-layout)."""

_LAYOUT = {
    *(*_OF_A_REPOSITORY, *protected.MARKS_OF_A_REPOSITORY, "branches", "description", "index", "logs", "packed-refs"),
    *("COMMIT_EDITMSG", "FETCH_HEAD", "ORIG_HEAD", "modules", "worktrees", "shallow"),
}
"""What is in a repository of itself (gitrepository-layout)."""

_DEEPEST_MODULE = 8


@dataclass(slots=True)
class Places:
    """What commands may not write, and the folders of git's in which they may write all but that."""

    read_only: dict[Path, Identity] = field(default_factory=dict)
    git: dict[Path, Identity] = field(default_factory=dict)

    def appeared(self, later: Places) -> list[Path]:
        """Return what is there later and was not before, or was something else, the outermost alone."""
        before = self.read_only | self.git
        found = [path for path, identity in (later.read_only | later.git).items() if before.get(path) != identity]
        return [path for path in found if not any(other in found for other in path.parents)]

    def above(self, files: Sequence[Path]) -> Places:
        """Return those that hold one of these files, or are it."""

        def holding(known: dict[Path, Identity]) -> dict[Path, Identity]:
            return {path: known[path] for path in known if any(file.is_relative_to(path) for file in files)}

        return Places(holding(self.read_only), holding(self.git))

    def kept(self) -> Places:
        """Return those that are still what they were, whatever has become of what was in them."""
        return Places(_as_they_were(self.read_only), _as_they_were(self.git))

    def add(self, later: Places) -> None:
        """Take in what was found later."""
        self.git |= later.git
        self.read_only |= {path: identity for path, identity in later.read_only.items() if path not in self.git}


def _as_they_were(known: dict[Path, Identity]) -> dict[Path, Identity]:
    return {path: identity for path, identity in known.items() if _identity(path) == identity}


def _identity(path: Path) -> Identity | None:
    try:
        info = path.lstat()
    except OSError:
        return None
    return info.st_dev, info.st_ino, stat.S_IFMT(info.st_mode)


def _note(known: dict[Path, Identity], path: Path) -> None:
    if identity := _identity(path):
        known[path] = identity


def find(roots: Sequence[Path]) -> Places:
    """Look through the roots, but not into dependency folders, which builds write."""
    places = Places()
    for root in roots:
        waiting = [root]
        while waiting:
            waiting += _look(waiting.pop(), roots, places)
    for own in protected.settings():
        if paths.is_in(own, roots) and own not in roots:
            _note(places.read_only, own)
    return places


def put_there(place: Path, since: int, roots: Sequence[Path]) -> Iterator[Path]:
    """Yield what must go for a protected place to be none any more, of what has changed `since`, in nanoseconds.

    That is the place itself, but of a folder that has become a repository only what makes it one. No root goes.
    """
    is_root = any(root.is_relative_to(place) for root in roots)
    if not is_root and (place.is_symlink() or not _is_repository(place) or _is_nothing_else(place, since)):
        if (files.changed_at(place) or since) >= since:
            yield place
        return
    gone: set[str] = set()
    for name in protected.MARKS_OF_A_REPOSITORY:
        if (files.changed_at(place / name) or 0) >= since and protected.makes_repository(
            lambda other: other not in gone and os.path.lexists(place / other)
        ):
            gone.add(name)
            yield place / name


def _is_repository(folder: Path) -> bool:
    return folder.is_dir() and protected.makes_repository(lambda name: os.path.lexists(folder / name))


def _is_nothing_else(repository: Path, since: int) -> bool:
    """Whether there is nothing in a repository but what belongs to one and has changed `since`."""
    if protected.is_git(protected.plain_name(repository.name)):
        return True
    inside = list(repository.iterdir())
    return all(path.name in _LAYOUT and (files.changed_at(path) or 0) >= since for path in inside)


def _look(folder: Path, roots: Sequence[Path], places: Places) -> Iterator[Path]:
    """Note what is protected in a folder, and yield the folders in it to go on with."""
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:
        return
    if protected.makes_repository({entry.name for entry in found}.__contains__):
        _note(places.read_only, folder)
        return
    for entry in found:
        plain = protected.plain_name(entry.name)
        if protected.is_git(plain):
            _note_git(Path(entry.path), roots, places)
        elif plain in protected.OBEYED:
            _note_with_target(places.read_only, Path(entry.path), roots)
        elif plain not in protected.DEPENDENCIES and entry.is_dir(follow_symlinks=False):
            yield Path(entry.path)


def _note_git(git: Path, roots: Sequence[Path], places: Places) -> None:
    trusted = list(_trusted(git, roots))
    if git not in trusted:
        _note(places.read_only, git)
    for folder in trusted:
        if folder in places.git:
            continue
        _note(places.git, folder)
        for inner in _repositories(folder):
            for name in _OF_A_REPOSITORY:
                _note_with_target(places.read_only, inner / name, roots)
    for place in protected.linked(git.parent):
        if place not in trusted and paths.is_in(place, roots) and place not in roots:
            _note(places.read_only, place)


def _note_with_target(known: dict[Path, Identity], path: Path, roots: Sequence[Path]) -> None:
    """Note a place, and where it leads to if that is in the roots, and none of them."""
    _note(known, path)
    for target in protected.targets(path):
        is_root = any(root.is_relative_to(target) for root in roots)
        if paths.is_in(target, roots) and not is_root and not target.is_relative_to(path):
            _note(known, target)


def _trusted(git: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the folders that a `.git` stands for and that are its own: anybody can write the name of another there."""
    own: list[Path] = []
    for folder in protected.git_folders(git):
        if paths.is_in(folder, roots) or _leads_back(folder, git) or (own and own[0].is_relative_to(folder)):
            own.append(folder)
            yield folder


def _leads_back(folder: Path, git: Path) -> bool:
    """Whether a repository names the `.git` that names it: a linked worktree's, a submodule's."""
    named = protected.text_of(folder / "gitdir").strip()
    if named and Path(os.path.realpath(folder / named)) == git:
        return True
    return protected.worktree_of(folder) == git.parent


def _repositories(folder: Path) -> Iterator[Path]:
    """Yield a repository, those of its submodules, and what it has for its linked worktrees."""
    yield folder
    with contextlib.suppress(OSError):
        yield from (path for path in (folder / "worktrees").iterdir() if path.is_dir())
    waiting = [folder / "modules"]
    while waiting:
        with contextlib.suppress(OSError):
            for inner in [path for path in waiting.pop().iterdir() if path.is_dir() and not path.is_symlink()]:
                if (inner / "HEAD").exists():
                    yield inner
                    waiting.append(inner / "modules")
                elif len(inner.parts) < len(folder.parts) + _DEEPEST_MODULE:
                    waiting.append(inner)
