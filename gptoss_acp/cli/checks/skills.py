"""The user's skills and commands, and those of the folder that the program is run in: how many, and what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gptoss_acp.cli.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gptoss_acp.settings import Settings


def skills(_: Settings) -> Iterator[Finding]:
    """Count them, and name each that is left out or can't be called."""
    from gptoss_acp.briefing import library  # noqa: PLC0415 (can't be imported on each system)
    from gptoss_acp.conversation import slash_commands  # noqa: PLC0415 (likewise)

    found = library.find(Path.cwd(), slash_commands.NAMES)
    for problem in found.problems:
        yield Finding("skills", "look", problem.replace("`", ""), "The documentation says under Skills what is read.")
    if not found.problems:
        yield Finding("skills", "ok", f"{len(found.skills)} for the model, {len(found.commands)} commands of your own")
