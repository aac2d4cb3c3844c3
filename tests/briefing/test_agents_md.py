"""Which AGENTS.md files hold in a folder, and what is left out of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gptoss_acp.briefing import agents_md
from gptoss_acp.briefing import git as git_files
from tests.support.project import git, write


def shown(folder: Path, told: list[str] | None = None) -> list[tuple[str, str]]:
    """Return path and text of every AGENTS.md in the notes, by the form that the model knows."""
    told = [] if told is None else told
    first, *parts = agents_md.notes(folder, told.append).split("\n\nInstructions from ")
    assert first == ""
    return [(path, text) for path, text in (part.split(":\n\n", 1) for part in parts)]


def test_a_worktree_has_its_own_branch_and_root(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-b", "side", str(tmp_path / "tree"))
    write(repository / "AGENTS.md", "of the repository")
    write(tmp_path / "tree/AGENTS.md", "of the worktree")
    (tmp_path / "tree/inner").mkdir()
    assert git_files.branch(tmp_path / "tree/inner") == "side"
    assert shown(tmp_path / "tree/inner") == [(str(tmp_path / "tree/AGENTS.md"), "of the worktree")]


@pytest.mark.parametrize("odd", ["HEAD is a pipe", ".git is a pipe", ".git is a loop", ".git points nowhere"])
def test_an_odd_repository_is_none_and_nothing_hangs(odd: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write(tmp_path / "AGENTS.md", "above")
    match odd:
        case "HEAD is a pipe":
            (folder / ".git").mkdir()
            os.mkfifo(folder / ".git/HEAD")
        case ".git is a pipe":
            os.mkfifo(folder / ".git")
        case ".git is a loop":
            (folder / ".git").symlink_to(".git")
        case ".git points nowhere":
            write(folder / ".git", "gitdir: ../nowhere\n")
    assert git_files.branch(folder) is None
    assert agents_md.notes(folder, list[str]().append) == ""


def test_the_users_own_comes_first_then_from_the_root_down(repository: Path, config: Path, tmp_path: Path) -> None:
    write(tmp_path / "AGENTS.md", "above the repository")
    files = [config / "AGENTS.md", *(repository / name / "AGENTS.md" for name in ("", "a", "a/b"))]
    for number, file in enumerate(files):
        write(file, f"{number}\n\n")
    write(repository / "a/other/AGENTS.md", "beside")
    assert shown(repository / "a/b") == [(str(file), str(number)) for number, file in enumerate(files)]


def test_without_a_repository_only_the_folders_own_counts(tmp_path: Path) -> None:
    write(tmp_path / "AGENTS.md", "above")
    own = write(tmp_path / "folder/AGENTS.md", "own")
    assert shown(tmp_path / "folder") == [(str(own), "own")]


def test_a_repository_of_somebody_else_further_up_does_not_count(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository / "AGENTS.md", "planted")
    own = write(repository / "a/AGENTS.md", "own")
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert shown(repository / "a") == [(str(own), "own")]
    assert git_files.branch(repository / "a") is None
    assert git_files.branch(repository) == "trunk"


def test_nearer_files_win_where_there_is_too_much(repository: Path, config: Path) -> None:
    far = write(config / "AGENTS.md", "far away")
    root = write(repository / "AGENTS.md", "é" * agents_md.LONGEST_NOTES)
    near = write(repository / "a/AGENTS.md", "n" * 1001)
    files = shown(repository / "a")
    assert [path for path, _ in files] == [str(root), str(near)]
    assert str(far) not in str(files)
    cut, note = files[0][1].split("\n")
    assert "left out" in note
    assert set(cut) == {"é"}
    assert 0 <= agents_md.LONGEST_NOTES - len((cut + files[1][1]).encode()) < 2
    assert files[1][1] == "n" * 1001


LINKS = {"loop": "AGENTS.md", "missing target": "nothing", "leads into a process": "/proc/1/cwd/AGENTS.md"}


@pytest.mark.parametrize("odd", ["binary", "empty", "folder", "pipe", *LINKS, "leads out", "huge"])
def test_a_file_that_cannot_be_read_is_left_out_and_the_others_are_not(
    odd: str, repository: Path, tmp_path: Path
) -> None:
    root = write(repository / "AGENTS.md", "root")
    file = repository / "a/AGENTS.md"
    file.parent.mkdir()
    match odd:
        case "binary":
            file.write_bytes(b"a\0b")
        case "empty":
            file.write_bytes(b" \n")
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "leads out":
            file.symlink_to(write(tmp_path / "secret", "secret"))
        case "loop" | "missing target" | "leads into a process":
            file.symlink_to(LINKS[odd])
        case "huge":
            with file.open("wb") as sparse:
                sparse.truncate(5 * 2**30)
    told: list[str] = []
    assert shown(repository / "a", told) == [(str(root), "root")]
    assert len(told) == (odd not in {"empty", "missing target"})
    assert all(problem.startswith(f"`{file}` is left out: ") for problem in told)


def test_a_file_in_another_encoding_is_read_and_that_is_told(repository: Path) -> None:
    file = repository / "AGENTS.md"
    told: list[str] = []
    file.write_bytes("grün".encode("latin-1"))
    assert shown(repository, told) == [(str(file), "grün")]
    assert told == [f"`{file}` is taken for text in cp1252, which is a guess; save it as UTF-8."]
    file.write_bytes("grün".encode("utf-16"))
    assert shown(repository) == [(str(file), "grün")]


def test_symlinks_within_the_repository_are_followed_and_the_users_own_may_lead_anywhere(
    repository: Path, config: Path, tmp_path: Path
) -> None:
    write(repository / "docs/agents.txt", "\ufeffinner")
    (repository / "AGENTS.md").symlink_to("docs/agents.txt")
    config.mkdir(parents=True)
    (config / "AGENTS.md").symlink_to(write(tmp_path / "dotfiles/agents.md", "mine"))
    assert [text for _, text in shown(repository)] == ["mine", "inner"]
