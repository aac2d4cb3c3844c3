"""What a session is told of its project: the branch, AGENTS.md files, and how much room all that takes."""

from __future__ import annotations

import os
import subprocess
from datetime import date
from pathlib import Path

import pytest
from platformdirs import user_config_path

from gptoss_acp import tools
from gptoss_acp.briefing import agents_md, developer_message
from gptoss_acp.briefing import git as git_files
from gptoss_acp.harmony import render
from gptoss_acp.session import Session
from gptoss_acp.settings import Settings
from tests.support.desk import Desk, new_journal
from tests.test_session import FakeEngine, RecordingUpdates


def write(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-b", "trunk")
    git(root, "commit", "--allow-empty", "-m", "x")
    return root


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return user_config_path("gptoss-acp")


def shown(folder: Path) -> list[tuple[str, str]]:
    """Return path and text of every AGENTS.md in the notes, by the form that the model knows."""
    parts = agents_md.notes(folder).split("\nInstructions from ")
    assert parts[0] == ""
    assert all(part.endswith("\n") for part in parts[1:])
    return [(path, text[:-1]) for path, text in (part.split(":\n\n", 1) for part in parts[1:])]


# The branch


def test_the_branch_follows_the_shell_in_the_environment(repository: Path) -> None:
    *_, shell, branch = developer_message.environment(repository).splitlines(keepends=True)
    assert shell.startswith("Shell: ")
    assert branch == "Git branch: trunk\n"


def test_no_branch_outside_a_repository(tmp_path: Path) -> None:
    assert developer_message.environment(tmp_path).splitlines()[-1].startswith("Shell: ")


def test_the_branch_is_found_from_a_folder_below_and_with_slashes_in_its_name(repository: Path) -> None:
    git(repository, "checkout", "-b", "ada/wörk")
    (repository / "a/b").mkdir(parents=True)
    assert git_files.branch(repository / "a/b") == "ada/wörk"


def test_a_worktree_has_its_own_branch_and_root(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-b", "side", str(tmp_path / "tree"))
    write(repository / "AGENTS.md", "of the repository")
    write(tmp_path / "tree/AGENTS.md", "of the worktree")
    (tmp_path / "tree/inner").mkdir()
    assert git_files.branch(tmp_path / "tree/inner") == "side"
    assert shown(tmp_path / "tree/inner") == [(str(tmp_path / "tree/AGENTS.md"), "of the worktree")]


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
    assert agents_md.notes(folder) == ""


# AGENTS.md


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


@pytest.mark.parametrize(
    "odd", ["latin-1", "binary", "empty", "folder", "pipe", "loop", "leads out", "missing target", "huge"]
)
def test_a_file_that_cannot_be_read_is_left_out_and_the_others_are_not(
    odd: str, repository: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write(repository / "AGENTS.md", "root")
    file = repository / "a/AGENTS.md"
    file.parent.mkdir()
    match odd:
        case "latin-1":
            file.write_bytes("grün".encode("latin-1"))
        case "binary":
            file.write_bytes(b"a\0b")
        case "empty":
            file.write_bytes(b" \n")
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "loop":
            file.symlink_to("AGENTS.md")
        case "leads out":
            file.symlink_to(write(tmp_path / "secret", "secret"))
        case "missing target":
            file.symlink_to("nothing")
        case "huge":
            with file.open("wb") as sparse:
                sparse.truncate(5 * 2**30)
    assert shown(repository / "a") == [(str(root), "root")]
    assert bool(caplog.records) == (odd not in {"empty", "missing target"})


def test_symlinks_within_the_repository_are_followed_and_the_users_own_may_lead_anywhere(
    repository: Path, config: Path, tmp_path: Path
) -> None:
    write(repository / "docs/agents.txt", "\ufeffinner")
    (repository / "AGENTS.md").symlink_to("docs/agents.txt")
    config.mkdir(parents=True)
    (config / "AGENTS.md").symlink_to(write(tmp_path / "dotfiles/agents.md", "mine"))
    assert [text for _, text in shown(repository)] == ["mine", "inner"]


async def test_a_session_is_told_once_at_its_start(repository: Path) -> None:
    file = write(repository / "AGENTS.md", "Use tabs.")
    session = Session(Desk(repository).workspace, FakeEngine(), RecordingUpdates(), Settings(), new_journal())
    told = session._ledger.prefix[1].text
    assert told.endswith(f"Git branch: trunk\n\nInstructions from {file}:\n\nUse tabs.\n")


async def test_all_that_comes_before_a_conversation_takes_1500_tokens_at_most(repository: Path) -> None:
    folder = repository / "a/rather/long/way/down/from/its/root"
    folder.mkdir(parents=True)
    session = Session(Desk(folder).workspace, FakeEngine(), RecordingUpdates(), Settings(), new_journal())
    assert session._ledger.prefix_length <= 1500
    text = developer_message.compose(folder, has_tools=True)
    alone = render.system("medium", date(2026, 11, 22), has_tools=True) + render.developer(text, tools.descriptions())
    assert session._ledger.prefix_length == len(alone)
