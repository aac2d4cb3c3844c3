"""What is kept of a session on disk while it is lived, and what a session that was kept begins with.

Knows what belongs together and when it must be safe. Knows nothing about how it is stored.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptoss_acp import ledger
from gptoss_acp.ledger import Ledger
from gptoss_acp.text import as_sentence, fit
from gptoss_acp.workspace.edits import Change
from gptoss_acp.workspace.encodings import Encoding
from gptoss_acp.workspace.files import Blob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gptoss_acp.protocol.shapes import Update, UserMessageChunk
    from gptoss_acp.store import StoredSession, Undo

log = logging.getLogger(__name__)

_LONGEST_BLOCK = 40_000


async def _nothing() -> str:
    return ""


@dataclass(slots=True)
class Heard:
    """What the model will be told: a user's message, and what `attached` then reads to come after it."""

    entry: ledger.Entry
    attached: Callable[[], Awaitable[str]]

    def mean(self, text: str) -> None:
        """Let the model be told `text` in place of the message, which stands for it."""
        self.entry = ledger.unheard(text)


class Journal:
    """A session's record.

    `shown` is what the client of an earlier process has seen, `undos` what that process did to files. `unsafe`: whether
    more has happened since the last commit.
    """

    def __init__(self, stored: StoredSession, shown: Sequence[Update] = (), undos: Sequence[Undo] = ()) -> None:
        self.ledger = Ledger(entries=list(stored.entries))
        self.ledger.mend(_texts(shown))
        self._unheard: list[Heard] = []
        self._made_changes = _made_changes(undos)
        self.unsafe = False
        self._stored = stored
        self._title = stored.info.title
        self._untold: str | None = None
        self._noted: dict[str, list[Change]] = {}
        self._begun: list[ledger.Entry] = []

    @property
    def id(self) -> str:
        return self._stored.info.id

    @property
    def config(self) -> Mapping[str, Any]:
        """What the session was set to."""
        return self._stored.info.config

    def hear(self, text: str, attached: Callable[[], Awaitable[str]] | None = None) -> Heard:
        """Note what the model is to be told with the next prompt: `text`, and what `attached` reads then."""
        heard = Heard(ledger.unheard(text), attached or _nothing)
        self._unheard.append(heard)
        return heard

    async def take_in(self) -> None:
        """Put into the ledger what the user has said, also in prompts that were cancelled before they began."""
        while self._unheard:
            heard = self._unheard[0]
            try:
                attached = await heard.attached()
            except Exception:
                log.exception("what a prompt mentions could not be read")
                attached = ""
            self.ledger.entries.append(await asyncio.to_thread(ledger.user, heard.entry.text + attached))
            self._unheard.pop(0)

    def forget_all(self) -> None:
        """Forget the conversation, and what the model was still to be told."""
        self.ledger.entries = []
        self._unheard.clear()

    def update(self, update: Update) -> None:
        """Note what the client has been sent."""
        self._stored.record(update)

    def asked(self, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Note a prompt, which the client shows already; what is too long for a line but no text is cut."""
        identifier = str(uuid.uuid4())
        for block in blocks:
            content = dict(block) if block["type"] == "text" else fit(dict(block), _LONGEST_BLOCK)
            chunk: UserMessageChunk = {
                "sessionUpdate": "user_message_chunk",
                "messageId": identifier,
                "content": content,
            }
            self.update(chunk)

    def takes_title(self, title: str) -> bool:
        """Whether the session gets `title`, because it had none."""
        untitled = not self._title and bool(title)
        self._title = self._title or title
        return untitled

    def begun(self, channel: str, shown_as: str) -> None:
        """Note that a message is being said, which the user sees by the id `shown_as`."""
        self._begun = [ledger.begun(channel, shown_as)]
        self._keep()

    def keep(self) -> None:
        """Note what the ledger holds now."""
        self.unsafe = True
        self._begun = []
        self._keep()

    async def commit(self) -> None:
        """Return when all that has happened is on the disk, or can't be: `take_problem` says so."""
        self._keep()
        self.unsafe = False
        self.note_problem(await self._stored.commit())

    def note_problem(self, problem: str | None) -> None:
        self._untold = problem or self._untold

    def take_problem(self) -> str | None:
        """Return what the user is to be told, once, about what can't be stored."""
        untold, self._untold = self._untold, None
        return untold and as_sentence(untold)

    async def close(self) -> None:
        if problem := await self._stored.close():
            log.warning("session %s: %s", self.id, problem)

    def set_config(self, **config: str) -> None:
        self._stored.change(config={**self.config, **config})

    # File changes

    async def before_changes(self, turn: str, changes: Sequence[Change]) -> None:
        """Return when it is safe to make `changes`, because they could be taken back."""
        self._noted.setdefault(turn, []).extend(changes)
        self._stored.add_undo(turn, [asdict(change) for change in changes])
        await self.commit()

    def after_changes(self, turn: str, changes: Sequence[Change]) -> None:
        """Note which changes a turn has made of those that it was about to make."""
        if self._noted.pop(turn, []) != changes:
            self.forget_changes(turn)
            if changes:
                self._stored.add_undo(turn, [asdict(change) for change in changes])

    def take_made_changes(self) -> dict[str, list[Change]]:
        """Return, once, each turn's file changes of an earlier process, the last turn's last."""
        made, self._made_changes = self._made_changes, {}
        return made

    def forget_changes(self, turn: str) -> None:
        """Note that a turn's changes are taken back."""
        self._stored.drop_undo(turn)

    def _keep(self) -> None:
        said = [heard.entry for heard in self._unheard]
        self._stored.keep([*self.ledger.entries, *self._begun, *said])


def _texts(updates: Sequence[Update]) -> dict[str, str]:
    """Return each message of the agent's by its id."""
    texts: dict[str, str] = {}
    for update in updates:
        if update["sessionUpdate"] == "agent_message_chunk":
            texts[update["messageId"]] = texts.get(update["messageId"], "") + update["content"]["text"]
    return texts


def _made_changes(undos: Sequence[Undo]) -> dict[str, list[Change]]:
    """Return each turn's file changes, the last turn's last."""
    made: dict[str, list[Change]] = {}
    for undo in undos:
        made.setdefault(undo.turn, []).extend(_change(stored) for stored in undo.changes)
    return made


def _change(stored: dict[str, Any]) -> Change:
    moved_from = stored["moved_from"]
    told = {**stored, "path": Path(stored["path"]), "moved_from": moved_from and Path(moved_from)}
    for side in ("before", "after"):
        if isinstance(stored[side], dict):
            told[side] = Blob(**stored[side])
    if "encoding" in stored:
        told["encoding"] = Encoding(**stored["encoding"])
    return Change(**told)
