"""Files that others run or obey are known, however they are spelt, linked or put together."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from platformdirs import user_config_path

from gptoss_acp.workspace import places
from gptoss_acp.workspace.protected import Protection
from tests.support.desk import Desk


def place_of(path: Path, root: Path, new: Sequence[Path] = ()) -> str | None:
    return Protection(root, [path, *new]).place_of(path)


NAMED = {
    ".git/config": ".git",
    ".GIT/hooks/pre-commit": ".git",
    "sub/.gIt/config": ".git",
    ".g\u200cit/config": ".git",
    ".git /config": ".git",
    ".git./config": ".git",
    ".\uff47\uff49\uff54/config": ".git",
    "GIT~1/config": ".git",
    ".git": ".git",
    ".vscode/tasks.json": ".vscode",
    "a/.IDEA/workspace.xml": ".idea",
    ".github/workflows/ci.yml": ".github",
    ".husky/pre-commit": ".husky",
    ".mcp.json": ".mcp.json",
    ".envrc": ".envrc",
    "sub/.gitattributes": ".gitattributes",
    ".bashrc": ".bashrc",
    "AGENTS.md": "agents.md",
    "deep/agents.md": "agents.md",
    "skills/x/SKILL.md": "skills",
    ".agents/commands/x.md": ".agents",
    ".venv/bin/python": ".venv",
    "node_modules/left-pad/index.js": "node_modules",
}
ORDINARY = ["a.py", ".gitignore", "git/config", "github/x", "docs/agents/readme.md", "legit~1x", ".gitlab-ci.yml"]


@pytest.mark.parametrize("path", NAMED)
def test_places_are_known_by_their_names_however_spelt(path: str, tmp_path: Path) -> None:
    assert place_of(tmp_path / path, tmp_path) == NAMED[path]


@pytest.mark.parametrize("path", ORDINARY)
def test_ordinary_files_are_ordinary(path: str, tmp_path: Path) -> None:
    assert place_of(tmp_path / path, tmp_path) is None


def test_what_is_above_the_root_protects_nothing_below_it(tmp_path: Path) -> None:
    root = tmp_path / ".claude/worktrees/x"
    root.mkdir(parents=True)
    assert place_of(root / "a.py", root) is None
    assert place_of(root / ".claude/a", root) == ".claude"


def test_programs_are_protected(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    assert place_of(tmp_path / "run.sh", tmp_path) is None
    (tmp_path / "run.sh").chmod(0o755)
    assert place_of(tmp_path / "run.sh", tmp_path) == "the program run.sh"


def test_a_repository_is_known_by_what_is_in_it_or_about_to_be(tmp_path: Path) -> None:
    bare = tmp_path / "fixtures/bare"
    for name in ("objects", "refs"):
        (bare / name).mkdir(parents=True)
    assert place_of(bare / "config", tmp_path) is None
    assert place_of(bare / "config", tmp_path, [bare / "HEAD"]) == "the repository bare"
    assert place_of(bare / "HEAD", tmp_path) == "the repository bare"
    (bare / "HEAD").write_text("ref: refs/heads/main\n")
    assert place_of(bare / "config", tmp_path) == "the repository bare"
    new = [tmp_path / "x" / name for name in ("HEAD", "objects/a", "refs/b", "config")]
    assert place_of(new[3], tmp_path, new) == "the repository x"
    assert place_of(new[3], tmp_path, new[:3:2]) is None
    linked = [tmp_path / "y" / name for name in ("HEAD", "commondir")]
    assert place_of(linked[1], tmp_path, linked) == "the repository y"


def git(*arguments: str, cwd: Path) -> None:
    subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True)


def test_where_git_leads_to_is_protected(tmp_path: Path) -> None:
    git("init", "-q", f"--separate-git-dir={tmp_path}/gitdata", ".", cwd=tmp_path)
    assert place_of(tmp_path / "gitdata/config", tmp_path) == "the repository gitdata"
    git("config", "core.hooksPath", "tools/hooks", cwd=tmp_path)
    git("config", "include.path", "../shared.conf", cwd=tmp_path)
    assert place_of(tmp_path / "tools/hooks/pre-commit", tmp_path) == "hooks, which .git leads to"
    assert place_of(tmp_path / "shared.conf", tmp_path) == "shared.conf, which .git leads to"
    assert place_of(tmp_path / "tools/other", tmp_path) is None


def test_where_the_links_in_a_protected_place_lead_is_protected(tmp_path: Path) -> None:
    for folder in ("docs/prompts", "docs/rel", "other", ".agents/skills/inner"):
        (tmp_path / folder).mkdir(parents=True)
    for link, target in {
        ".agents/commands": "../docs/prompts",
        ".agents/skills/rel": "../../docs/rel",
        ".agents/skills/inner/SKILL.md": "../../../docs/one.md",
        ".claude": ".agents",
        ".vscode": "/",
        ".idea": "loop",
        "loop": ".idea",
    }.items():
        (tmp_path / link).symlink_to(target)
    assert place_of(tmp_path / "docs/prompts/new.md", tmp_path) == "prompts, which .agents leads to"
    assert place_of(tmp_path / "docs/rel/scripts/new.py", tmp_path) == "rel, which .agents leads to"
    assert place_of(tmp_path / "docs/one.md", tmp_path) == "one.md, which .agents leads to"
    assert place_of(tmp_path / "docs/two.md", tmp_path) is None
    assert place_of(tmp_path / "other/x", tmp_path) is None


@pytest.mark.parametrize(
    "content", ["gitdir: " + "a/" * 5_000_000, "gitdir: \0", "gitdir: ", "x", "gitdir: ../../../../.."]
)
def test_a_hostile_git_file_costs_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / ".git").write_text(content)
    assert place_of(tmp_path / "a", tmp_path) is None


async def test_protected_files_are_asked_about_where_others_are_not(tmp_path: Path) -> None:
    git("init", "-q", f"--separate-git-dir={tmp_path}/gitdata", ".", cwd=tmp_path)
    (tmp_path / "conf").symlink_to("gitdata/config")
    (tmp_path / "name").symlink_to(".vscode")
    desk = Desk(tmp_path, "auto-edit")
    patches = [
        ["*** Add File: gitdata/hooks/pre-commit", "+x"],
        ["*** Update File: conf", "@@", "+[core]"],
        ["*** Add File: .vscode/tasks.json", "+x"],
        ["*** Add File: name/tasks.json", "+x"],
        [
            "*** Add File: a",
            "+x",
            "*** Add File: b/HEAD",
            "+x",
            "*** Add File: b/objects/x",
            "+x",
            "*** Add File: b/refs/x",
            "+x",
        ],
    ]
    for number, patch in enumerate(patches, 1):
        assert await desk.patch(*patch) == "Error: the user did not allow it.", patch
        assert len(desk.permissions_asked) == number
    assert "Success" in await desk.patch("*** Add File: a", "+x")
    assert len(desk.permissions_asked) == len(patches)


async def test_set_id_bits_do_not_survive_an_edit(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x\n")
    (tmp_path / "a").chmod(0o6755)
    assert "Success" in await Desk(tmp_path).patch("*** Update File: a", "-x", "+y")
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o755


async def test_the_agents_settings_and_the_users_commands_are_no_place_to_write_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    folder = user_config_path("gptoss-acp")
    desk = Desk(tmp_path, "auto-edit")
    for path in (folder / "commands/x.md", folder / "config.toml", tmp_path / ".agents/commands/x.md"):
        assert "did not allow" in await desk.patch(f"*** Add File: {path.relative_to(tmp_path)}", "+x")
    assert len(desk.permissions_asked) == 3
    assert folder not in places.find([tmp_path]).read_only
    folder.mkdir(parents=True)
    assert folder in places.find([tmp_path]).read_only
    assert folder not in places.find([folder]).read_only
