"""Programs for a test, each in a home of its own.

Knows how the program is started. Knows nothing about what is said to it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support.agent_process import AgentProcess


class Spawner:
    """Spawns agents with homes of their own below `folder`."""

    def __init__(self, folder: Path, agents: ExitStack) -> None:
        self._folder = folder
        self._agents = agents
        self._count = 0
        self._scripts = itertools.count()

    def __call__(self, *arguments: str, home: Path | None = None, **options: Any) -> AgentProcess:
        """Spawn `gptoss-acp` with `arguments`, in a home of its own or in that of an earlier one; see AgentProcess."""
        return self._agents.enter_context(AgentProcess(home or self.new_home(), arguments, **options))

    def scripted(
        self, *generations: Sequence[int], delay: float = 0, arguments: Sequence[str] = (), **options: Any
    ) -> AgentProcess:
        """Spawn it with these token ids in place of a model's, one list for each model call."""
        file = self._folder / f"script-{next(self._scripts)}.json"
        file.write_text(json.dumps({"generations": [list(ids) for ids in generations], "delay": delay}), "utf-8")
        return self("--script", str(file), *arguments, **options)

    def new_home(self) -> Path:
        self._count += 1
        home = self._folder / f"home-{self._count}"
        home.mkdir()
        return home
