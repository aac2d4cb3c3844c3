"""Sampled token ids to events: a message starts, its text grows, it ends.

Knows Harmony's structure. Knows nothing about the engine, the ledger or ACP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from openai_harmony import Role, StreamableParser

from gptoss_acp.harmony import encoding
from gptoss_acp.harmony.render import ASSISTANT_START

Channel = Literal["analysis", "commentary", "final"]


@dataclass(frozen=True, slots=True)
class MessageStarted:
    """A header is complete. With a recipient the message is a tool call, on whatever channel."""

    channel: Channel
    recipient: str | None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of the current message, at least one character, never a control token."""

    text: str


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """A whole message.

    `tokens` are its ids as sampled, from `<|start|>assistant` to the stop token. `complete` is False where the
    output was cut short; then the stop token is missing.
    """

    channel: Channel
    recipient: str | None
    content_type: str | None
    text: str
    tokens: tuple[int, ...]
    complete: bool


Event = MessageStarted | TextDelta | MessageEnded


class Parser:
    """Parses what the model samples after `<|start|>assistant`, one token at a time."""

    def __init__(self) -> None:
        self._harmony = StreamableParser(encoding.load(), Role.ASSISTANT)
        self._tokens = list(ASSISTANT_START)
        self._text: list[str] = []
        self._started: MessageStarted | None = None
        self._content_type: str | None = None

    @property
    def message(self) -> MessageStarted | None:
        """The message whose content is being sampled, if any."""
        return self._started

    def feed(self, token: int) -> list[Event]:
        """Take one sampled id and return what it brought about.

        Raises:
            openai_harmony.HarmonyError: the output is not well-formed Harmony.
        """
        self._tokens.append(token)
        self._harmony.process(token)
        if self._started is None:
            return self._start() if token == encoding.MESSAGE else []
        delta = self._harmony.last_content_delta if token < encoding.FIRST_SPECIAL_ID else None
        if delta:
            self._text.append(delta)
            return [TextDelta(delta)]
        if token in encoding.MESSAGE_ENDS:
            return [self._end(complete=True)]
        return []

    def finish(self) -> list[Event]:
        """Return what is left of a message that was cut short."""
        return [self._end(complete=False)] if self._started else []

    def _start(self) -> list[Event]:
        channel = cast(Channel, self._harmony.current_channel or "analysis")
        self._started = MessageStarted(channel, self._harmony.current_recipient)
        self._content_type = self._harmony.current_content_type
        return [self._started]

    def _end(self, *, complete: bool) -> MessageEnded:
        assert self._started is not None
        ended = MessageEnded(
            self._started.channel,
            self._started.recipient,
            self._content_type,
            "".join(self._text),
            tuple(self._tokens),
            complete,
        )
        self._tokens, self._text, self._started = [], [], None
        return ended
