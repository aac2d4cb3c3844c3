"""Taking back what a turn has done to files: which turns that can be done for, and doing it.

Knows file changes and what undoes them. Knows nothing about patches, nor how `/undo` is said.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptoss_acp.errors import ToolError
from gptoss_acp.text import clip_line
from gptoss_acp.tool_description import ToolDescription
from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.tools.registry import Tool
from gptoss_acp.tools.runner import Runner
from gptoss_acp.workspace import edits, kept
from gptoss_acp.workspace.files import Blob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from gptoss_acp.conversation.journal import Journal
    from gptoss_acp.protocol.updates import Updates
    from gptoss_acp.tools.call import Call
    from gptoss_acp.tools.permissions import Permissions
    from gptoss_acp.workspace.edits import Change
    from gptoss_acp.workspace.workspace import Workspace

UNDOABLE_TURNS = 20
"""How many turns back /undo reaches; each keeps its files' texts in memory."""

_LONGEST_NAMES = 1_000


class Undo:
    """What can be taken back of a session: by turn, what would undo its file changes, the last turn's last."""

    def __init__(self, journal: Journal, workspace: Workspace, permissions: Permissions, updates: Updates) -> None:
        self._journal = journal
        self._workspace = workspace
        self._permissions = permissions
        self._updates = updates
        self._turns: dict[str, list[Change]] = {}
        earlier = journal.take_made_changes()
        self._earlier = set(earlier)
        for turn, changes in earlier.items():
            self._remember(turn, changes)

    def note(self, turn: str, changes: Sequence[Change]) -> None:
        """Take note of what a turn that has ended, however it did, has changed of what it was about to."""
        self._journal.after_changes(turn, changes)
        self._remember(turn, changes)

    async def take_back(self) -> str:
        """Undo the file changes of the last turn that made any, and return what to tell the user.

        Raises:
            TurnCancelledError: the user cancelled when asked for permission.
        """
        if not self._turns:
            return "There is nothing to take back: no file was changed by apply_patch."
        turn, changes = next(reversed(self._turns.items()))
        if turn in self._earlier and self._permissions.mode != "read-only":
            for change in changes:
                await asyncio.to_thread(edits.finish, change.reversed())
        # A process that was killed may have been about to make them.
        holds = self._workspace.holds
        changes = [change for change in changes if not await holds(change.path, change.after, change.encoding)]
        if not changes:
            self._forget(turn)
            return "Of the last changes nothing is left to take back. Send `/undo` again for those before."
        described = ToolDescription("undo", "", {"type": "object"})
        tool = Tool(described, self._undoing(changes), Arguments, "edit", "Undo the last changes")
        runner = Runner(self._workspace, self._permissions, self._updates, [tool])
        result = await runner.announce("functions.undo").run("{}")
        if not runner.changes:
            return f"Nothing was taken back: {result.removeprefix('Error: ')}"
        self._forget(turn)
        for change in changes:
            if isinstance(change.after, Blob) and change.after.kept:
                await asyncio.to_thread(kept.forget, Path(change.after.kept))
        # The model takes its changes for made until it is told.
        names = self._names(change.path for change in changes)
        self._journal.hear(f"I have taken back your last changes to these files: {names}")
        return result

    def _remember(self, turn: str, changes: Sequence[Change]) -> None:
        if back := taken_back(changes):
            self._turns[turn] = back
        while len(self._turns) > UNDOABLE_TURNS:
            del self._turns[next(iter(self._turns))]

    def _forget(self, turn: str) -> None:
        del self._turns[turn]
        self._journal.forget_changes(turn)

    def _undoing(self, changes: Sequence[Change]) -> Callable[[Any, Call], Awaitable[str]]:
        async def undo(_: Arguments, call: Call) -> str:
            holds = self._workspace.holds
            changed = [
                change.path for change in changes if not await holds(change.path, change.before, change.encoding)
            ]
            if changed:
                raise ToolError(f"changed since then: {self._names(changed)}")
            await call.edit(changes)
            lines = [
                f"- {self._shown(change.path)}: {'removed' if change.after is None else 'as before'}"
                for change in changes
            ]
            return "\n".join(["Took back the file changes of the last turn that made any:", *lines])

        return undo

    def _names(self, files: Iterable[Path]) -> str:
        return clip_line(", ".join(map(self._shown, files)), _LONGEST_NAMES)

    def _shown(self, path: Path) -> str:
        return self._workspace.roots.shown(path)


def taken_back(changes: Sequence[Change]) -> list[Change]:
    """Return what takes back `changes`, made one after another: one change a file, new files before those that go."""
    net: dict[Path, Change] = {}
    for change in changes:
        if isinstance(change.before, Blob) and change.before.kept:
            # What was brought here before goes on with it.
            _follow(net, str(change.path), change.before.kept)
        back = change.reversed()
        if earlier := net.get(change.path):
            mode = back.mode if earlier.mode is None else earlier.mode
            back = replace(back, after=earlier.after, mode=mode, becomes=earlier.becomes)
        net[change.path] = back
    changed = [change for change in net.values() if change.before != change.after]
    return sorted(changed, key=lambda change: change.after is None)


def _follow(net: dict[Path, Change], place: str, moved_to: str) -> None:
    for path, back in net.items():
        if isinstance(back.after, Blob) and back.after.kept == place:
            net[path] = replace(back, after=replace(back.after, kept=moved_to))
