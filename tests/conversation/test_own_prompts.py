"""What a session makes of skills and commands while their files change."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptoss_acp.conversation.own_prompts import MOST_TOLD, OwnPrompts
from tests.support.desk import Desk
from tests.support.project import git, write

SKILL = "---\ndescription: For it.\n---\nDo it.\n"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "work").mkdir()
    return Desk(tmp_path / "work", "ask")


async def test_files_are_read_anew_at_each_prompt_and_what_the_model_was_told_stays(desk: Desk) -> None:
    own = await OwnPrompts.of(desk.workspace)
    assert own.told == ""
    assert await own.look_up("/review it") is None
    file = write(desk.cwd / ".agents/commands/review.md", "Review $ARGUMENTS.")
    write(desk.cwd / ".agents/skills/s/SKILL.md", SKILL)
    assert await own.look_up("/review it") == "Review it."
    assert [command.name for command in own.library.commands] == ["review", "s"]
    assert own.told == ""
    write(file, "Look at $ARGUMENTS.")
    assert await own.look_up("/review it") == "Look at it."
    file.unlink()
    assert await own.look_up("/review it") is None
    assert own.take_problems() == []


async def test_the_folder_of_a_skill_may_be_read_once_the_model_was_sent_there(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "home/.agents/skills"
    write(folder / "told/SKILL.md", SKILL)
    write(folder / "told/more", "More.\n")
    for name in ("called", "quiet"):
        write(folder / name / "SKILL.md", SKILL.replace("---\nDo", "disable-model-invocation: true\n---\nDo"))
    own = await OwnPrompts.of(desk.workspace)
    assert f"- told: For it. ({folder}/told/SKILL.md)" in own.told
    assert "called" not in own.told
    assert await desk.call("open_file", path=f"{folder}/told/more") == "L1: More."
    assert "did not allow" in await desk.call("open_file", path=f"{folder}/called/SKILL.md")
    assert await own.look_up("/called now") == f"The skill called, whose files are in {folder}/called:\n\nDo it.\n\nnow"
    assert "Do it." in await desk.call("open_file", path=f"{folder}/called/SKILL.md")
    assert "did not allow" in await desk.call("open_file", path=f"{folder}/quiet/SKILL.md")


async def test_a_projects_skill_above_the_sessions_folder_may_be_read_and_the_project_not(tmp_path: Path) -> None:
    git(tmp_path, "init")
    write(tmp_path / "secret", "x")
    file = write(tmp_path / ".agents/skills/s/SKILL.md", SKILL)
    write(tmp_path / ".claude/skills/all/SKILL.md", SKILL).parent.joinpath("up").symlink_to("../../..")
    (tmp_path / "work").mkdir()
    desk = Desk(tmp_path / "work", "ask")
    own = await OwnPrompts.of(desk.workspace)
    assert f"- s: (of this project) For it. ({file})" in own.told
    assert "Do it." in await desk.call("open_file", path=str(file))
    assert desk.permissions_asked == []
    for path in ("secret", ".claude/skills/all/up/secret", ".agents/skills/s/../../../secret"):
        assert "did not allow" in await desk.call("open_file", path=str(tmp_path / path))


async def test_each_problem_is_told_once_and_not_too_many_at_once(desk: Desk) -> None:
    for number in range(MOST_TOLD + 3):
        write(desk.cwd / f".agents/commands/c{number}.md", "")
    own = await OwnPrompts.of(desk.workspace)
    *problems, more = own.take_problems()
    assert problems == [
        f"`{desk.cwd}/.agents/commands/c{number}.md` is left out: it says nothing." for number in range(MOST_TOLD)
    ]
    assert more == "3 more skills or commands have problems; the log names them."
    write(desk.cwd / ".agents/commands/compact.md", "Do it.")
    await own.look_up("Hi")
    assert own.take_problems() == [
        f"`{desk.cwd}/.agents/commands/compact.md` can't be called: /compact is the agent's own."
    ]
    await own.look_up("Hi")
    assert own.take_problems() == []
