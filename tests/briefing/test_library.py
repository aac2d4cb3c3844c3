"""Which of several with one name counts, and what the model is told of skills."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gptoss_acp.briefing import library
from gptoss_acp.briefing.library import Library
from tests.briefing.test_prompt_files import write_skill
from tests.support.project import write

HEAD = "\n\nSkills, each a file to open before you do what it is for:\n"
"""As the bundled model has learnt it; see `_skills` in scripts/tiny/prefixes.py."""


def found(cwd: Path) -> Library:
    return library.find(cwd, frozenset(["compact", "help"]))


def described(cwd: Path, told: list[str] | None = None) -> str:
    return library.described(found(cwd).skills, cwd, ([] if told is None else told).append)[0]


def test_the_wording_is_the_one_that_the_bundled_model_has_learnt() -> None:
    learnt = (Path(__file__).parents[2] / "scripts/tiny/prefixes.py").read_text("utf-8")
    assert f'"{HEAD}\n"'.replace("\n", "\\n") in learnt


def test_commands_go_before_skills_and_nearer_ones_before_farther_ones(repository: Path, home: Path) -> None:
    skills, commands = repository / ".agents/skills", home / ".agents/commands"
    for name in ("a", "b"):
        write_skill(skills, name)
    write_skill(home / ".agents/skills", "a")
    write(commands / "b.md", "Do it.")
    write(commands / "c.md", "Farther.")
    write(repository / ".agents/commands/c.md", "Nearer.")
    there = found(repository)
    assert {command.name: str(command.file) for command in there.commands} == {
        "a": f"{skills}/a/SKILL.md",
        "b": f"{commands}/b.md",
        "c": f"{repository}/.agents/commands/c.md",
    }
    assert [skill.name for skill in there.skills] == ["a", "b"]
    assert there.problems == (
        f"`{commands}/c.md` is left out: `{repository}/.agents/commands/c.md` has the same name.",
        f"`{home}/.agents/skills/a/SKILL.md` is left out: `{skills}/a/SKILL.md` has the same name.",
        f"`{skills}/b/SKILL.md` can't be called: /b is `{commands}/b.md`.",
    )


@pytest.mark.parametrize("name", ["compact", "Compact"])
def test_the_agents_own_commands_go_before_all(name: str, repository: Path) -> None:
    file = write_skill(repository / ".agents/skills", name)
    command = write(repository / f".agents/commands/{name}.md", "Do it.")
    there = found(repository)
    assert there.commands == ()
    assert [skill.name for skill in there.skills] == [name]
    assert there.problems == tuple(
        f"`{path}` can't be called: /compact is the agent's own." for path in (command, file)
    )


def test_a_skill_that_another_agents_folder_links_to_is_one_skill(repository: Path) -> None:
    file = write_skill(repository / ".agents/skills", "a")
    (repository / ".claude").mkdir()
    (repository / ".claude/skills").symlink_to("../.agents/skills")
    there = found(repository)
    assert [skill.file for skill in there.skills] == [file]
    assert there.problems == ()


def test_a_skill_may_be_for_the_model_alone_or_for_the_user_alone(repository: Path) -> None:
    for name, field in (("quiet", "disable-model-invocation: true"), ("inner", "user-invocable: false")):
        write_skill(repository / ".agents/skills", name, f"---\ndescription: d\n{field}\n---\nDo.\n")
    there = found(repository)
    assert [skill.name for skill in there.skills] == ["inner"]
    assert [command.name for command in there.commands] == ["quiet"]


def test_names_are_found_as_they_are_typed_and_in_small_letters(repository: Path) -> None:
    for name in ("review", "Deploy"):
        write(repository / f".agents/commands/{name}.md", "Do it.")
    there = found(repository)
    assert [getattr(there.command(name), "name", None) for name in ("review", "Review", "Deploy", "deploy", "x")] == [
        *("review", "review", "Deploy"),
        *(None, None),
    ]


# What the model is told


def test_skills_are_told_by_a_path_that_can_be_opened_and_a_projects_as_such(repository: Path, home: Path) -> None:
    folder = repository / "a"
    write_skill(folder / ".agents/skills", "near")
    write_skill(repository / ".claude/skills", "above")
    write_skill(home / ".agents/skills", "mine", "---\ndescription: <|end|>\\n x\n---\nDo.\n")
    assert described(folder) == (
        f"{HEAD}\n- near: (of this project) For near. (.agents/skills/near/SKILL.md)"
        f"\n- above: (of this project) For above. ({repository}/.claude/skills/above/SKILL.md)"
        f"\n- mine: <|end|>\\n x ({home}/.agents/skills/mine/SKILL.md)"
    )


def test_of_no_skill_nothing_is_told(repository: Path) -> None:
    assert described(repository) == ""


def test_long_descriptions_are_cut_before_a_skill_is_left_out(repository: Path) -> None:
    for number in range(15):
        write_skill(repository / ".agents/skills", f"s{number:02}", f"---\ndescription: {'x' * 1000}\n---\nDo.\n")
    told: list[str] = []
    lines = described(repository, told).removeprefix(HEAD).splitlines()
    assert len(lines) == 16
    assert f"{'x' * 199}…" in lines[-1]
    assert told == [
        "Of 15 skills the model is told 200 characters of what they are for: all together are longer than 12,288 bytes."
    ]


def test_a_thousand_skills_are_told_as_far_as_there_is_room_and_take_no_time(repository: Path) -> None:
    for number in range(1000):
        write_skill(repository / ".agents/skills", f"s{number:03}", f"---\ndescription: {'é' * 1000}\n---\nDo.\n")
    began = time.process_time()
    there = found(repository)
    told: list[str] = []
    text, skills = library.described(there.skills, repository, told.append)
    assert time.process_time() - began < 2
    assert len(text.encode()) <= library.LONGEST_LIST + 200
    *lines, last = text.removeprefix(HEAD).splitlines()
    assert [line[2:6] for line in lines[1:]] == [f"s{number:03}" for number in range(len(skills))]
    assert last == f"({256 - len(skills)} more are left out, for want of room.)"
    assert told[1] == f"The model is not told of {256 - len(skills)} skills: all together are longer than 12,288 bytes."
