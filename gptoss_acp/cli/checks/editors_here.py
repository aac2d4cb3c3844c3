"""The editors on this machine, and whether they know this agent."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from gptoss_acp.cli import entry
from gptoss_acp.cli.checks.finding import Finding, whole
from gptoss_acp.cli.editors import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gptoss_acp.cli.editors.known import Editor
    from gptoss_acp.settings import Settings


def editors(_: Settings) -> Iterator[Finding]:
    """Say of each editor that is here whether this agent is in its settings, and can be started as they say."""
    here = [editor for editor in known.editors(entry.server()) if editor.found]
    for editor in here:
        if editor.states == ["there"]:
            yield Finding("editor", "ok", f"{editor.title} has this agent")
        else:
            does = "shows what it would change, and changes it" if editor.files else "shows what to add"
            advice = f"{whole(f'gptoss-acp editor {editor.name}')} {does}."
            yield Finding("editor", "look", f"{editor.title} {_what_is_odd(editor)}", advice)
    if not here:
        command = whole("gptoss-acp editor NAME --print")
        yield Finding("editor", "ok", f"none that is known here; {command} shows what others need")


def _what_is_odd(editor: Editor) -> str:
    commands = filter(None, (file.command for file in editor.files))
    if gone := next((command for command in commands if not shutil.which(command)), None):
        return f"starts this agent with {whole(gone)}, which is not there"
    if "unreadable" in editor.states:
        return "has settings that can't be read"
    return "does not have this agent yet" if "missing" in editor.states else "has this agent, with other values"
