"""The skills and commands of the project and the user: which name means what, and what the model is told of them.

Knows the wording that the bundled model has learnt. Knows nothing about slash commands of ours but their names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from gptoss_acp.briefing import prompt_files
from gptoss_acp.briefing.prompt_files import CommandFile, Skill
from gptoss_acp.text import clip_line, code_span

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence
    from pathlib import Path

LONGEST_LIST = 12 * 1024
"""Bytes of what the model is told of skills; about 3,000 tokens."""

_SHORT = 200
"""Characters of a description where all together are longer than that."""

_TOO_LONG = f"all together are longer than {LONGEST_LIST:,} bytes"

File = TypeVar("File", bound=CommandFile)

_HEAD = "\n\nSkills, each a file to open before you do what it is for:\n"


@dataclass(frozen=True, slots=True)
class Library:
    """What there is: the skills that the model is told of, what the user can call, and sentences about the rest."""

    skills: tuple[Skill, ...] = ()
    commands: tuple[CommandFile, ...] = ()
    problems: tuple[str, ...] = ()

    def command(self, name: str) -> CommandFile | None:
        """Return what the user means by a name."""
        by_name = {command.name: command for command in self.commands}
        return by_name.get(name) or by_name.get(name.lower())


def find(cwd: Path, taken: Container[str]) -> Library:
    """Return what holds in a folder. It reads files: call it in a thread.

    Of one name commands go before skills and nearer ones before farther ones; `taken` names, in small letters, mean
    something else.
    """
    problems: list[str] = []
    commands = list(_first_of_each_name(prompt_files.commands(cwd, problems.append), problems.append))
    skills = list(_first_of_each_name(prompt_files.skills(cwd, problems.append), problems.append))
    called: dict[str, CommandFile] = {}
    for command in [*commands, *(skill for skill in skills if skill.for_user)]:
        if command.name.lower() in taken:
            problems.append(f"{_shown(command)} can't be called: /{command.name.lower()} is the agent's own.")
        elif command.name in called:
            problems.append(f"{_shown(command)} can't be called: /{command.name} is {_shown(called[command.name])}.")
        else:
            called[command.name] = command
    told = tuple(skill for skill in skills if skill.for_model)
    return Library(told, tuple(called.values()), tuple(problems))


def _first_of_each_name(files: Iterable[File], tell: Callable[[str], None]) -> Iterator[File]:
    known: dict[str, File] = {}
    for file in files:
        first = known.setdefault(file.name, file)
        if first is file:
            yield file
        elif os.path.realpath(first.file) != os.path.realpath(file.file):  # many link one agent's folder to another's
            tell(f"{_shown(file)} is left out: {_shown(first)} has the same name.")


def described(skills: Sequence[Skill], cwd: Path, tell: Callable[[str], None]) -> tuple[str, Sequence[Skill]]:
    """Return what the model is told of skills, behind a blank line, to follow its instructions, and of which it is.

    Where that is too long, descriptions are cut, and then the nearer skills kept. `tell` gets a sentence for the user
    about what is left out.
    """
    lines = [_described(skill, cwd, prompt_files.LONGEST_DESCRIPTION) for skill in skills]
    if _size(lines) > LONGEST_LIST:
        lines = [_described(skill, cwd, _SHORT) for skill in skills]
        if cut := sum(len(skill.description) > _SHORT for skill in skills):
            tell(f"Of {cut:,} skills the model is told {_SHORT} characters of what they are for: {_TOO_LONG}.")
    told = sum(_size(lines[: count + 1]) <= LONGEST_LIST for count in range(len(lines)))
    if left_out := len(lines) - told:
        tell(f"The model is not told of {left_out:,} skills: {_TOO_LONG}.")
        lines[told:] = [f"\n({left_out:,} more are left out, for want of room.)"]
    return "".join([_HEAD, *lines]) if lines else "", skills[:told]


def _described(skill: Skill, cwd: Path, longest: int) -> str:
    whose = "(of this project) " if skill.place.of_project else ""
    return f"\n- {skill.name}: {whose}{clip_line(skill.description, longest)} ({shown(skill.file, cwd)})"


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) for line in lines)


def shown(file: Path, cwd: Path) -> str:
    """Return a path as the model is told it: relative below the session's folder."""
    return str(file.relative_to(cwd) if file.is_relative_to(cwd) else file)


def _shown(file: CommandFile) -> str:
    return code_span(str(file.file))
