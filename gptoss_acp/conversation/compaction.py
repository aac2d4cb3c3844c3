"""Compaction: when a conversation has nearly filled the context, a summary takes the place of most of it.

Knows when that is, how the model is asked for the summary, and what stays word for word. Knows nothing about turns,
tools or the shapes of ACP.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gptoss_acp.briefing import developer_message
from gptoss_acp.conversation import ask_model
from gptoss_acp.engine.api import EngineError, Model, Sampling, Trace, Usage
from gptoss_acp.harmony import encoding, render
from gptoss_acp.ledger import Entry, Ledger, size
from gptoss_acp.text import clip, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.protocol.shapes import CompactionStatus
    from gptoss_acp.protocol.updates import Updates

log = logging.getLogger(__name__)

FULL = 0.85
"""Share of the context from which on a conversation is compacted."""

KEPT = 0.5
"""Share of the context that a compacted conversation fills at most, and of its own length before.

Prompts that wait for their answer stay whatever they take."""

LONGEST_SUMMARY = 4096
"""Tokens, with the reasoning before it; never more than an eighth of the context."""

LONGEST_REQUEST = 128
"""Tokens of the request for a summary, about."""

SHORTEST_RESULT = 256
"""Tokens of a tool's result that are kept however full the context is: the compaction that follows deals with them."""

INTRODUCTION = "This is your own summary of our conversation so far, of which the rest is gone. Go on from it.\n\n"

_LONGEST_SHOWN = 12_000
_LEAST_ROOM = 64


class CompactionError(Exception):
    """The conversation could not be compacted, and has not changed; the message says why."""


@dataclass(slots=True)
class Compactor:
    """Keeps the conversation of one session short enough for the model."""

    ledger: Ledger
    engine: Model
    updates: Updates
    sampling: Sampling
    trace: Trace | None = None

    @property
    def due(self) -> bool:
        """Whether the context is nearly full, and something may be done about it."""
        return bool(self._heard) and self.ledger.length >= FULL * self.engine.context_length

    async def compact(self, usage: Usage, keep: str = "") -> None:
        """Let the model summarise the conversation, with regard to `keep`, and put that in the place of most of it.

        What the model calls take is added to `usage`. When cancelled, nothing has changed.

        Raises:
            CompactionError: it could not be done; nothing has changed.
        """
        if not self._heard:
            raise CompactionError("There is nothing to summarise yet.")
        identifier, before = str(uuid.uuid4()), self.ledger.length
        ended: CompactionStatus = "failed"
        text = "Nothing has changed."
        self.updates.compaction(identifier, "in_progress")
        try:
            text = await self._compact(usage, keep)
            ended = "completed"
        except asyncio.CancelledError:
            ended = "cancelled"
            raise
        except (CompactionError, EngineError) as error:
            text = str(error)
            raise CompactionError(text) from error
        finally:
            shown = fit(text, _LONGEST_SHOWN)
            self.updates.compaction(identifier, ended, shown, before=before, after=self.ledger.length)
        log.info("compacted a conversation from %d to %d tokens", before, self.ledger.length)
        self.updates.usage(self.ledger.length, self.engine.context_length)

    def fitted(self, result: str) -> str:
        """Return a tool's result, with its middle left out where the context has no room for all of it.

        It may take a quarter of the context, and must leave enough for a summary.
        """
        context = self.engine.context_length
        room = context - self.ledger.length - self._longest_summary - LONGEST_REQUEST
        return clip_tokens(result, max(SHORTEST_RESULT, min(context // 4, room)))

    @property
    def _heard(self) -> list[Entry]:
        """What the model has answered or is at work on: all but the prompts that wait."""
        return self.ledger.entries[: len(self.ledger.entries) - len(self.ledger.unanswered)]

    @property
    def _longest_summary(self) -> int:
        return min(LONGEST_SUMMARY, self.engine.context_length // 8)

    async def _compact(self, usage: Usage, keep: str) -> str:
        heard, unanswered = self._heard, self.ledger.unanswered
        text = await self._summarise(heard, keep, usage)
        summary = Entry("summary", tuple(render.user(INTRODUCTION + text)), INTRODUCTION + text)
        context = self.engine.context_length
        room = min(KEPT * context - self.ledger.prefix_length - size(unanswered), KEPT * size(heard))
        kept = shortened(heard, summary, int(room) - size([summary]))
        if size(kept) >= size(heard):
            raise CompactionError("The conversation is too short for that: the summary would not be shorter.")
        self.ledger.entries = [*kept, *unanswered]
        return text

    async def _summarise(self, entries: Sequence[Entry], keep: str, usage: Usage) -> str:
        request = developer_message.request("compact") + (f"\n\nKeep in mind above all: {keep}" if keep else "")
        room = self.engine.context_length - self._longest_summary
        prompt = summary_prompt(self.ledger.prefix, entries, request, room)
        most = min(self._longest_summary, self.sampling.max_tokens or self._longest_summary)
        sampling = replace(self.sampling, max_tokens=most)
        branch = self.ledger.prefix_length
        # A model that only thinks, or calls a tool all the same, is given the beginning of its answer.
        for given in ((), render.FINAL_START):
            said = await ask_model.answer(
                self.engine, prompt, sampling, usage, given=given, branch=branch, trace=self.trace
            )
            if summary := said.strip():
                return summary
        raise CompactionError("The model gave no summary.")


def summary_prompt(prefix: Sequence[Entry], entries: Sequence[Entry], request: str, room: int) -> list[int]:
    """Return the ids that ask for a summary of `entries`, `room` at most.

    What does not fit is left out, the oldest first; of a last message that does not fit alone, the middle.

    Raises:
        CompactionError: there is no room even for that.
    """
    start = [token for entry in prefix for token in entry.tokens]
    end = [*render.user(request), *render.ASSISTANT_START]
    room -= len(start) + len(end)
    if room < _LEAST_ROOM:
        raise CompactionError("The context is too small for a summary. Raise --context-length, or /clear.")
    said = [token for entry in _newest(entries, room) for token in entry.tokens]
    if not said:
        last = entries[-1].tokens
        said = [*last[: room // 2], *last[-(room // 2) :]]
    return [*start, *said, *end]


def shortened(entries: Sequence[Entry], summary: Entry, room: int) -> list[Entry]:
    """Return what stays of `entries`: the summary, and as much of the last exchange as takes `room` tokens at most.

    An exchange is the user's message and all that follows. It stays whole after the summary if it fits. If not, the
    message stays before the summary, which tells what came of it, unless it takes more than half the room; and after
    the summary stay the newest steps that fit, a result never without its call.
    """
    exchange = _last_exchange(entries)
    if size(exchange) <= room:
        return [summary, *exchange]
    asked = [entry for entry in exchange if entry.role == "user"]
    if size(asked) > room // 2:
        asked = []
    steps = _newest([entry for entry in exchange if entry.role != "user"], room - size(asked))
    while steps and steps[0].role == "tool":
        del steps[0]
    return [*asked, summary, *steps]


def clip_tokens(text: str, most: int) -> str:
    """Return `text`, with its middle left out where it has more than `most` tokens."""
    clipped, limit = text, len(text)
    while (count := len(encoding.encode_text(clipped))) > most and limit:
        limit = int(0.9 * limit * most / count)
        clipped = clip(text, limit)
    return clipped


def _last_exchange(entries: Sequence[Entry]) -> list[Entry]:
    """Return the last user messages that stand together and what follows, without summaries of what came before."""
    start = len(entries)
    while start and entries[start - 1].role != "user":
        start -= 1
    while start and entries[start - 1].role == "user":
        start -= 1
    return [entry for entry in entries[start:] if entry.role != "summary"]


def _newest(entries: Sequence[Entry], room: int) -> list[Entry]:
    """Return the last entries that take `room` tokens at most."""
    kept: list[Entry] = []
    for entry in reversed(entries):
        room -= len(entry.tokens)
        if room < 0:
            break
        kept.insert(0, entry)
    return kept
