"""The editors on this machine, and whether they know this agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gptoss_acp.cli import entry
from gptoss_acp.cli.checks.finding import Finding, whole
from gptoss_acp.cli.editors import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gptoss_acp.settings import Settings


def editors(_: Settings) -> Iterator[Finding]:
    """Say of each editor that is here whether this agent is in its settings."""
    here = [editor for editor in known.editors(entry.server()) if editor.found]
    for editor in here:
        add = f"{whole(f'gptoss-acp editor {editor.name}')} shows what is missing and adds it."
        is_there = editor.state.startswith("yes")
        said = "has this agent" if is_there else "does not have this agent yet"
        said = "has settings that can't be read" if editor.state == "unknown" else said
        yield Finding("editor", "ok" if is_there else "look", f"{editor.title} {said}", "" if is_there else add)
    if not here:
        command = whole("gptoss-acp editor NAME --print")
        yield Finding("editor", "ok", f"none that is known here; {command} shows what others need")
