"""What .gitignore hides in lists of folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptoss_acp.workspace import paths
from gptoss_acp.workspace.ignored import Ignored
from tests.support.desk import Desk
from tests.support.project import write


def ignored(path: Path, *, is_folder: bool = False) -> bool:
    """Whether a list of the folder that holds `path` leaves it out."""
    with paths.hold_folder(path.parent) as held:
        return Ignored.around(path.parent).below(path.parent, held).ignores(path, is_folder=is_folder)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository within a folder that has rules of its own."""
    write(tmp_path / ".gitignore", "*.txt\n")
    root = tmp_path / "root"
    (root / ".git").mkdir(parents=True)
    (root / "inner/deep").mkdir(parents=True)
    write(root / ".gitignore", "*.log\n/only-here\nbuild/\nhidden/\n")
    write(root / "inner/.gitignore", "!keep.log\n*.tmp\n")
    return root


@pytest.mark.parametrize(
    ("name", "is_folder", "expected"),
    [
        ("a.log", False, True),
        ("inner/a.log", False, True),
        ("inner/deep/a.log", False, True),
        ("keep.log", False, True),
        ("inner/keep.log", False, False),
        ("inner/deep/keep.log", False, False),
        ("a.tmp", False, False),
        ("inner/deep/a.tmp", False, True),
        ("only-here", False, True),
        ("inner/only-here", False, False),
        ("inner/build", True, True),
        ("inner/build", False, False),
        ("inner/.git", True, True),
        ("a.txt", False, False),
    ],
)
def test_the_innermost_rule_of_the_repository_decides(
    name: str, *, is_folder: bool, expected: bool, root: Path
) -> None:
    assert ignored(root / name, is_folder=is_folder) is expected


def test_in_a_folder_that_is_itself_ignored_nothing_is(root: Path) -> None:
    (root / "hidden").mkdir()
    assert not ignored(root / "hidden/a.log")


def test_outside_a_repository_only_the_folders_own_rules_count(root: Path) -> None:
    outside = root.parent
    assert ignored(outside / "a.txt")
    (outside / "folder").mkdir()
    assert not ignored(outside / "folder/a.txt")


def test_a_gitignore_that_can_not_be_read_is_none(root: Path) -> None:
    (root / "inner/.gitignore").unlink()
    (root / "inner/.gitignore").mkdir()
    assert ignored(root / "inner/keep.log")


@pytest.mark.parametrize("line", ["bin\\", "!", "[z-a]"])
async def test_a_line_of_gitignore_that_git_passes_over_hides_nothing_and_spoils_nothing(
    line: str, tmp_path: Path
) -> None:
    for name in ("a.log", "b.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text(f"*.log\n{line}\n")
    assert await Desk(tmp_path).call("list_dir", path=".") == ".gitignore\nb.txt"
