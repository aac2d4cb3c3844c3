"""Files that others run or obey: repositories' own, editors', agents', shells', and how they are told from the rest.

Whoever writes one of these makes the user's tools do things later, without a question. Knows names, and what git makes
of folders. Knows nothing about modes, nor how a place is protected.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import unicodedata
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_config_path

from gptoss_acp.errors import ToolError
from gptoss_acp.text import LONGEST_PATH
from gptoss_acp.workspace import files, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

GIT = ".git"

OBEYED = frozenset(
    [
        *(".vscode", ".idea", ".zed", ".husky", ".github", ".devcontainer", ".claude", ".codex", ".agents"),
        *(
            ".mcp.json",
            ".envrc",
            ".pre-commit-config.yaml",
            ".ripgreprc",
            ".gitmodules",
            ".gitattributes",
            ".gitconfig",
        ),
        *(".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".profile", ".zshrc", ".zshenv", ".zprofile"),
        *(".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login", ".logout", ".inputrc", "config.fish"),
    ]
)
"""Names of what editors, agents, git and shells start by themselves; commands may not write them either."""

INSTRUCTIONS = "AGENTS.md"
"""What a project tells every agent."""

_TOLD = frozenset([INSTRUCTIONS.lower(), "skill.md", "skills"])
"""Names of what tells agents what to do."""

DEPENDENCIES = frozenset([".venv", "venv", "node_modules", "site-packages"])
"""Names of folders whose programs are run as a matter of course; builds write there all the time."""

_SHORT_GIT = re.compile(r"git~\d")
"""What Windows calls `.git` for programs that know no long names (CVE-2019-1352)."""

_LINKED = re.compile(r"(?mi)^[ \t]{0,9}(?:path|hookspath)[ \t]{0,9}=[ \t]{0,9}\"?([^\"\n]{1,4096})\"?$")
"""Where a repository's config leads to more config (`include.path`) or to programs (`core.hooksPath`)."""

_WORKTREE = re.compile(r"(?mi)^[ \t]{0,9}worktree[ \t]{0,9}=[ \t]{0,9}([^\n]{1,4096})$")

_LONGEST_CONFIG = 64 * 1024
_MOST_LOOKED_AT = 2_000
"""Entries of a protected place among which its links are looked for."""

_RUNNABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class Protection:
    """What is protected below `root` once the files `new` are there."""

    def __init__(self, root: Path, new: Iterable[Path]) -> None:
        self._root = root
        self._linked = [*((place, GIT) for place in linked(root)), *_led_to(root)]
        self._coming = {above for file in new for above in (file, *file.parents)}

    def place_of(self, path: Path) -> str | None:
        """Return the name of the protected place that a path, one of `new`, is or is in; None for an ordinary file."""
        if path.is_relative_to(self._root):
            for part in path.relative_to(self._root).parts:
                if named := _named(part):
                    return named
        if paths.is_in(path, settings()):
            return "the agent's settings"
        if repository := self._repository(path):
            return f"the repository {repository.name}"
        for place, leader in self._linked:
            if path.is_relative_to(place):
                return f"{place.name}, which {leader} leads to"
        mode = _mode_of(path)
        if mode & _RUNNABLE:
            return f"the program {path.name}"
        return f"the read-only file {path.name}" if mode and not mode & _WRITABLE else None

    def _repository(self, path: Path) -> Path | None:
        """Return the folder above `path` that is a repository, or becomes one."""
        for folder in path.parents:
            if not folder.is_relative_to(self._root):
                return None
            if makes_repository(lambda name: self._will_be(folder / name)):  # noqa: B023 (called at once)
                return folder
        return None

    def _will_be(self, path: Path) -> bool:
        return path in self._coming or os.path.lexists(path)


def settings() -> list[Path]:
    """Return the folder of our own settings, the user's skills and commands: as it is written, and resolved."""
    folder = user_config_path("gptoss-acp")
    return [folder, Path(os.path.realpath(folder))]


def plain_name(name: str) -> str:
    """Return a file's name as the most forgiving of file systems reads it: APFS, HFS+, NTFS."""
    if name.isascii():  # nearly all, and there are many of them
        return name.casefold().rstrip(" .")
    shown = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return shown.casefold().rstrip(" .")


def is_git(plain: str) -> bool:
    """Whether a file of this plain name can be taken for `.git`."""
    return plain == GIT or bool(_SHORT_GIT.fullmatch(plain))


def git_folders(git: Path) -> Iterator[Path]:
    """Yield the folders that a `.git` stands for: itself or where it leads, and where that one's common files are."""
    folder = git
    if git.is_file():
        written = text_of(git).strip()
        if not written.startswith("gitdir:") or "\0" in written:
            return
        folder = Path(os.path.realpath(git.parent / written.removeprefix("gitdir:").strip()))
    else:
        folder = Path(os.path.realpath(git))
    if (folder / "HEAD").is_file():
        yield folder
        if (common := text_of(folder / "commondir").strip()) and "\0" not in common:
            yield Path(os.path.realpath(folder / common))


def _named(part: str) -> str | None:
    plain = plain_name(part)
    if is_git(plain):
        return GIT
    return plain if plain in OBEYED or plain in _TOLD or plain in DEPENDENCIES else None


MARKS_OF_A_REPOSITORY = ("HEAD", "commondir", "objects", "refs")


def makes_repository(has: Callable[[str], bool]) -> bool:
    """Whether git takes a folder that `has` these names for a repository, bare or not (gitrepository-layout)."""
    return has("HEAD") and (has("commondir") or (has("objects") and has("refs")))


def linked(root: Path) -> Iterator[Path]:
    """Yield where the repository of a folder keeps what it obeys: its own folders, and where its config leads to."""
    for folder in git_folders(root / GIT):
        yield folder
        for config in ("config", "config.worktree"):
            for match in _LINKED.finditer(text_of(folder / config, _LONGEST_CONFIG).replace("\0", "")):
                target = os.path.expanduser(match[1])  # noqa: PTH111 (Path's raises for an unknown user)
                yield from (Path(os.path.realpath(start / target)) for start in (folder, root))


def _led_to(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield where the protected names in a folder lead that are links, or hold some, and their names.

    The folder itself is no such place, for all in it would be.
    """
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if name := _named(entry.name):
                yield from ((place, name) for place in targets(Path(entry.path)) if not root.is_relative_to(place))


def targets(place: Path) -> Iterator[Path]:
    """Yield where a protected place leads that is a link, and the links in it: what they lead to is obeyed as well."""
    if place.is_symlink():
        yield Path(os.path.realpath(place))
    if is_git(plain := plain_name(place.name)) or plain in DEPENDENCIES:
        return
    waiting, looked = [place], 0
    while waiting and looked < _MOST_LOOKED_AT:
        with contextlib.suppress(OSError), os.scandir(waiting.pop(0)) as entries:
            for entry in islice(entries, _MOST_LOOKED_AT - looked):
                looked += 1
                if entry.is_symlink():
                    yield Path(os.path.realpath(entry.path))
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))


def _mode_of(path: Path) -> int:
    """Return what kind of regular file is there and what may be done with it, 0 where there is none."""
    try:
        mode = path.stat(follow_symlinks=False).st_mode
    except OSError:
        return 0
    return mode if stat.S_ISREG(mode) else 0


def worktree_of(folder: Path) -> Path | None:
    """Return the folder that a repository's config says is checked out from it (`core.worktree`)."""
    match = _WORKTREE.search(text_of(folder / "config", _LONGEST_CONFIG).replace("\0", ""))
    return Path(os.path.realpath(folder / match[1])) if match else None


def text_of(file: Path, longest: int = LONGEST_PATH) -> str:
    """Return what a small file says, nothing where it can't be read."""
    try:
        return files.read_small(Path(os.path.realpath(file)), longest)
    except (OSError, ToolError, ValueError):
        return ""
