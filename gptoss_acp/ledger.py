"""The token ledger: the conversation as the exact ids the model saw or sampled, and Harmony's history rules.

The prompt is the concatenation of the entries and nothing else, so a KV cache always matches it. Knows nothing
about asyncio, ACP or MLX.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile, zip_longest
from typing import TYPE_CHECKING, Literal

from gptoss_acp import tool_description, vocabulary
from gptoss_acp.harmony import encoding, render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from gptoss_acp.harmony.parser import MessageEnded

Role = Literal["system", "developer", "user", "summary", "assistant", "tool"]
"""Whose message it is. A summary stands for messages that are gone; to the model it is a user's."""

INTERRUPTED = "Error: the agent ended before this call did. It may have been carried out, or a part of it."

_SAFE_RECIPIENT = re.compile(r"(?!(?:assistant|developer|system|tool|user)$)[A-Za-z0-9_.\-]{1,128}")
"""Not a role of Harmony's: what a tool of that name answers would be said by that role."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One Harmony message. `tokens` are all its ids, from `<|start|>` to its closing control token.

    Without tokens it stands for a message that is being said, and that the user sees by the id `text`; or for a user's
    message that is still to be encoded.
    """

    role: Role
    tokens: tuple[int, ...]
    text: str
    channel: str | None = None
    recipient: str | None = None
    content_type: str | None = None
    complete: bool = True


@dataclass(slots=True)
class Ledger:
    """A conversation: the system and developer entries, then the entries of its turns."""

    prefix: list[Entry] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def set_prefix(
        self, instructions: str, tools: Sequence[tool_description.ToolDescription], effort: render.Effort, today: date
    ) -> None:
        """Render the system and developer entries anew; the rest of the conversation stays as it is."""
        self.prefix = [
            Entry("system", tuple(render.system(effort, today, tools)), ""),
            Entry("developer", tuple(render.developer(instructions, tools)), instructions),
        ]

    def prompt(self) -> list[int]:
        """Return the ids to generate from: every entry, then `<|start|>assistant`."""
        return [*self.tokens(), *render.ASSISTANT_START]

    def tokens(self) -> list[int]:
        """Return the ids of every entry: what the next prompt will begin with."""
        return [token for entry in (*self.prefix, *self.entries) for token in entry.tokens]

    @property
    def length(self) -> int:
        """Tokens of every entry."""
        return size((*self.prefix, *self.entries))

    @property
    def prefix_length(self) -> int:
        """Tokens of the system and developer entries."""
        return size(self.prefix)

    @property
    def unanswered(self) -> list[Entry]:
        """The user's messages at the end, to which the model has said nothing yet."""
        return list(takewhile(lambda entry: entry.role == "user", reversed(self.entries)))[::-1]

    def add_user(self, text: str) -> None:
        self.entries.append(user(text))

    def drop_unanswered(self) -> None:
        self.entries = self.entries[: len(self.entries) - len(self.unanswered)]

    def add_sampled(self, message: MessageEnded) -> None:
        """Keep a message as the model sampled it, closed as openai-harmony closes it in a history.

        So `<|return|>` becomes `<|end|>` (openai/harmony, docs/format.md), and a tool call ends in `<|call|>` whatever
        it was sampled with. A message cut short is closed too, but reasoning and tool calls that were cut short are
        dropped: neither is of use half-finished. So is a message that says nothing and calls nothing.
        """
        if not message.complete and (message.recipient or message.channel == "analysis"):
            return
        if not (message.text or message.recipient):
            return
        sampled = message.tokens[:-1] if message.complete else message.tokens
        self.entries.append(
            Entry(
                "assistant",
                (*sampled, vocabulary.CALL if message.recipient else vocabulary.END),
                message.text,
                message.channel,
                message.recipient,
                message.content_type,
                message.complete,
            )
        )

    def add_tool_result(self, call: MessageEnded, text: str) -> None:
        """Answer a tool call, on the call's channel."""
        self.entries.append(tool_result(call, text))

    def add_reprimand(self, text: str) -> None:
        """Tell the model, on `analysis`, what was wrong with what it has said; it goes with the turn's reasoning."""
        tokens = render.tool_result("functions.unknown", "analysis", text)
        self.entries.append(Entry("tool", tuple(tokens), text, "analysis"))

    def end_turn(self) -> None:
        """Drop all reasoning if the turn has ended in `final`; else it stays for the next turn.

        Tool calls on `analysis` and their results are no reasoning: they stay (openai/harmony, docs/format.md).
        """
        spoken = [entry for entry in self.entries if not _is_reasoning(entry)]
        if spoken and spoken[-1].channel == "final":
            self.entries = spoken

    def mend(self, shown: Mapping[str, str]) -> None:
        """Let a conversation go on whose process has ended in the middle of a turn.

        A message that was being said is kept as far as the user has seen it, by `shown`, each message's text by its id.
        A call that nothing has answered is answered.
        """
        mended: list[Entry] = []
        for entry, after in zip_longest(self.entries, self.entries[1:]):
            if entry.tokens:
                mended.append(entry)
            elif entry.role == "user":
                mended.append(user(entry.text))
            elif text := shown.get(entry.text):
                mended.append(_cut_short(entry.channel or "final", text))
            if entry.role == "assistant" and entry.recipient and (after is None or after.role != "tool"):
                mended.append(_result(entry.recipient, entry.channel or "commentary", INTERRUPTED))
        self.entries = mended
        self.end_turn()


def begun(channel: str, shown_as: str) -> Entry:
    """Return what stands for a message that is being said, and that the user sees by the id `shown_as`."""
    return Entry("assistant", (), shown_as, channel, complete=False)


def unheard(text: str) -> Entry:
    """Return what stands for a user's message until the model is to hear it."""
    return Entry("user", (), text)


def user(text: str) -> Entry:
    """Return a user's message."""
    return Entry("user", tuple(render.user(text)), text)


def tool_result(call: MessageEnded, text: str) -> Entry:
    """Return what a tool call is answered with, on the call's channel."""
    return _result(call.recipient or "", call.channel, text)


def size(entries: Iterable[Entry]) -> int:
    """Return how many tokens `entries` have."""
    return sum(len(entry.tokens) for entry in entries)


def _is_reasoning(entry: Entry) -> bool:
    return entry.channel == "analysis" and not entry.recipient


def _result(recipient: str, channel: str, text: str) -> Entry:
    if not _SAFE_RECIPIENT.fullmatch(recipient):
        recipient = "functions.unknown"
    return Entry("tool", tuple(render.tool_result(recipient, channel, text)), text, channel, recipient)


def _cut_short(channel: str, text: str) -> Entry:
    tokens = (*render.assistant_start(channel, None, None), *encoding.encode_text(text), vocabulary.END)
    return Entry("assistant", tokens, text, channel, complete=False)
