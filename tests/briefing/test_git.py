"""What git's files say of a folder: its branch, or none, whatever state they are in."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptoss_acp.briefing import git as git_files
from tests.support.project import git, write


def test_the_branch_is_found_from_a_folder_below_and_with_slashes_in_its_name(repository: Path) -> None:
    git(repository, "checkout", "-b", "ada/wörk")
    (repository / "a/b").mkdir(parents=True)
    assert git_files.branch(repository / "a/b") == "ada/wörk"


def test_a_detached_head_is_no_branch(repository: Path) -> None:
    git(repository, "checkout", "--detach")
    assert git_files.branch(repository) is None


@pytest.mark.parametrize(
    "head",
    [
        "",
        "ref: refs/heads/.invalid\n",
        "ref: refs/heads/a b\n",
        "ref: refs/heads/a\nb\n",
        "ref: refs/heads/\x1b[2J\n",
        "ref: refs/heads/" + "x" * 300,
        "ref: refs/remotes/origin/main\n",
        b"ref: refs/heads/\xff\n",
        b"\0" * 100,
    ],
)
def test_an_odd_head_is_no_branch(head: str | bytes, repository: Path) -> None:
    write(repository / ".git/HEAD", head)
    assert git_files.branch(repository) is None
