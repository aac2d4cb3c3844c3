"""The skills and commands of a session: what the model is told of them, and what a prompt stands for that calls one.

They are read anew at each prompt, but what the model has been told of them at the session's start stays: that is in its
cache. Reads in a thread. Knows nothing about how a prompt is heard, nor about our own slash commands but their names.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from gptoss_acp.briefing.library import Library, described, find
from gptoss_acp.briefing.prompt_files import PromptFileError, Skill
from gptoss_acp.conversation import slash_commands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.briefing.prompt_files import CommandFile
    from gptoss_acp.workspace.workspace import Workspace

log = logging.getLogger(__name__)

MOST_TOLD = 5
"""Problems that the user is told of at once; the log has all."""


@dataclass(slots=True)
class OwnPrompts:
    """What there is in `library` for a session that works in `workspace`; `told`: what the model is told of it."""

    workspace: Workspace
    library: Library = field(default_factory=Library)
    told: str = ""
    _known: set[str] = field(default_factory=set)
    _untold: list[str] = field(default_factory=list)

    @classmethod
    async def of(cls, workspace: Workspace) -> Self:
        """Return what there is now; the skills that the model is told of it may open without a question."""
        return await asyncio.to_thread(cls._found, workspace)

    @classmethod
    def _found(cls, workspace: Workspace) -> Self:
        cwd = workspace.roots.cwd
        found = find(cwd, slash_commands.NAMES)
        problems = list(found.problems)
        told, skills = described(found.skills, cwd, problems.append)
        own = cls(workspace, found, told)
        own._note(problems)
        for skill in skills:
            own._let_open(skill)
        return own

    async def look_up(self, prompt: str) -> str | None:
        """Look again, and return what a prompt stands for, None where it calls nothing that can be read."""
        self.library, called, told = await asyncio.to_thread(self._look_up, prompt)
        self._note(self.library.problems)
        if isinstance(called, Skill):
            self._let_open(called)
        if isinstance(told, PromptFileError):
            self._note([str(told)])
            return None
        return told

    def take_problems(self) -> list[str]:
        """Return what the user is to be told, each thing once."""
        untold, self._untold = self._untold, []
        told = untold[:MOST_TOLD]
        if more := len(untold) - len(told):
            told.append(f"{more:,} more skills or commands have problems; the log names them.")
        return told

    def _look_up(self, prompt: str) -> tuple[Library, CommandFile | None, str | PromptFileError | None]:
        found = find(self.workspace.roots.cwd, slash_commands.NAMES)
        call = slash_commands.called(prompt, found)
        if call is None:
            return found, None, None
        file, argument = call
        try:
            return found, file, file.told(argument)
        except PromptFileError as problem:
            return found, file, problem

    def _let_open(self, skill: Skill) -> None:
        self.workspace.readable.add(skill.file)
        self.workspace.readable.add(skill.file.parent)

    def _note(self, problems: Sequence[str]) -> None:
        for problem in problems:
            if problem not in self._known:
                self._known.add(problem)
                self._untold.append(problem)
                log.warning("%s", problem)
