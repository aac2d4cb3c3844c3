"""The tool that shows what is in folders, as the model sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptoss_acp.tools import print_tree
from tests.support.desk import Desk
from tests.support.project import git, write


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a repository with files that its .gitignore names."""
    for name in ("src/app.py", "src/deep/x.py", "build/out.o", "a.log", "keep.log", ".hidden", "src/b.log"):
        write(tmp_path / name, "")
    (tmp_path / "nothing/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("src")
    write(tmp_path / ".gitignore", "build/\n*.log\n!keep.log\n")
    git(tmp_path, "init", "-q")
    return tmp_path


async def test_a_tree_is_printed_without_what_is_ignored_and_says_so(project: Path) -> None:
    assert await Desk(project).call("print_tree", path="", depth=2) == (
        ".gitignore\n.hidden\nkeep.log\nlink -> src\nnothing/\n  inner/\nsrc/\n  app.py\n  deep/\n"
        "(ignored, and shown only if named as the path: a.log, build/, src/b.log)"
    )


async def test_what_is_ignored_is_shown_if_it_is_named(project: Path) -> None:
    desk = Desk(project)
    assert await desk.call("print_tree", path="build", depth=1) == "out.o"
    write(project / ".gitignore", "build/*\n")
    assert await desk.call("print_tree", path="build", depth=1) == "out.o"


async def test_an_empty_folder_and_a_file_are_said_to_be_that(project: Path) -> None:
    desk = Desk(project)
    assert await desk.call("print_tree", path="nothing/inner", depth=3) == "(empty)"
    result = await desk.call("print_tree", path="keep.log", depth=1)
    assert result == "Error: keep.log is a file; open it with repo_browser.open_file."
    assert await desk.call("print_tree", path="gone", depth=1) == "Error: no such file or directory: gone."


@pytest.mark.parametrize("rules", [".git/info/exclude", ".ignore", ".gitignore"])
async def test_all_that_names_what_is_ignored_counts(rules: str, project: Path) -> None:
    write(project / rules, "src\n")
    assert "src/\n" not in await Desk(project).call("print_tree", path="", depth=2)


async def test_a_gitignore_outside_a_repository_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path / ".gitignore", "*.txt\n")
    write(tmp_path / "inner/a.txt", "")
    assert await Desk(tmp_path / "inner").call("print_tree", path="", depth=1) == "a.txt"


async def test_a_large_folder_is_cut_and_a_tree_closed_where_it_is_too_large(tmp_path: Path) -> None:
    for number in range(print_tree.MOST_ENTRIES + 100):
        write(tmp_path / f"many/{number:03}", "")
    write(tmp_path / "few/a", "")
    desk = Desk(tmp_path)
    assert await desk.call("print_tree", path="", depth=2) == (
        "few/\n  a\nmany/\n(600 more entries in many/; print the tree of a folder to see what is in it)"
    )
    *lines, note = (await desk.call("print_tree", path="many", depth=2)).splitlines()
    assert len(lines) == print_tree.MOST_ENTRIES
    assert note == "(100 more entries in this folder; list them with container.exec)"


async def test_where_it_takes_too_long_to_know_what_is_ignored_all_is_shown(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(print_tree, "LONGEST_LISTING_SECONDS", 0.0)
    lines = (await Desk(project).call("print_tree", path="", depth=1)).splitlines()
    assert lines[:3] == [".gitignore", ".hidden", "a.log"]
    assert lines[-1].startswith("(after 0 seconds")


async def test_a_folder_that_can_not_be_read_spoils_nothing(project: Path) -> None:
    (project / "nothing/inner").chmod(0)
    try:
        assert "inner/" in await Desk(project).call("print_tree", path="", depth=3)
    finally:
        (project / "nothing/inner").chmod(0o755)


async def test_links_to_folders_above_are_not_followed(project: Path) -> None:
    (project / "src/up").symlink_to("..")
    tree = await Desk(project).call("print_tree", path="src", depth=50)
    assert tree.splitlines()[:4] == ["app.py", "deep/", "  x.py", "up -> .."]
