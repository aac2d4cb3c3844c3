"""Sampled token ids to events: a message starts, its text grows, it ends. Nothing it is fed makes it raise.

One automaton reads well-formed and malformed output alike. It does not run openai-harmony's parser: that one keeps a
header and half a character to itself, so whoever takes over from it needs all of this anyway, and it shows control
tokens inside a message as text. It is the oracle instead: the tests hold that both agree wherever it reads anything.

What is malformed is read as it is meant (`header.py`), and never stays in the history as it was sampled. Knows
Harmony's structure. Knows nothing about the engine, the tools, the ledger or ACP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gptoss_acp import tool_names, vocabulary
from gptoss_acp.harmony import encoding, header, render
from gptoss_acp.harmony.lost_call import OneObject
from gptoss_acp.harmony.repetition import repeated_block, without_repetition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gptoss_acp.harmony.header import Channel, Header
    from gptoss_acp.tool_names import ToolNames

_LONGEST_HEADER = 96
_REPETITION_CHECKED_EVERY = 32
_ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class MessageStarted:
    """A header is complete. With a recipient the message is a tool call.

    A message whose channel is none of the three is reported on `analysis`, the one that nobody is shown. One without
    any channel's name, and a preamble that may be a call without a recipient, start when it is known what they are.
    """

    channel: Channel
    recipient: str | None

    @property
    def visible(self) -> bool:
        """Whether the message is meant for the user (openai/harmony, docs/format.md)."""
        return self.recipient is None and self.channel != "analysis"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of the current message, at least one character, never a control token."""

    text: str


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """A whole message.

    `tokens` are well-formed, from `<|start|>assistant` to the stop token, and as sampled wherever that was
    well-formed: a malformed header is rendered anew, control tokens inside the content are left out, and of what was
    repeated without end only the first time is kept. `text` is all that was sent as TextDelta. `complete` is False
    where the output was cut short; then the stop token is missing.
    """

    channel: Channel
    recipient: str | None
    content_type: str | None
    text: str
    tokens: tuple[int, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class RecipientLost:
    """The message that has just ended, as one on `analysis`, was meant as a tool call, but names no tool."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Generation has to stop here, and whatever it brings from here on is dropped.

    "other speaker": the model speaks as the user or a tool. "repetition": it says the same thing over and over; the
    message has been ended as one that was cut short.
    """

    reason: Literal["other speaker", "repetition"]


Event = MessageStarted | TextDelta | MessageEnded | RecipientLost | Stopped


class Parser:
    """Parses what the model samples after `<|start|>assistant`, one token at a time.

    `tools` are the names by which tools may be called: a name of theirs is read wherever gpt-oss puts it.
    """

    def __init__(self, tools: ToolNames | None = None, *, stop_repetition: bool = True) -> None:
        self._tools = tools or tool_names.trained()
        self._stop_repetition = stop_repetition
        self._take: Callable[[int], list[Event]] = self._take_header
        self._header = list(render.ASSISTANT_START)
        self._speaker = b""
        self._speaking_tool = ""
        self._started: MessageStarted | None = None
        self._withheld: OneObject | Literal["unnamed"] | None = None
        self._content_type: str | None = None
        self._start_tokens: list[int] = []
        self._content: list[int] = []
        self._text: list[str] = []
        self._decoder = encoding.TextDecoder()

    @property
    def message(self) -> MessageStarted | None:
        """The message whose content is being sampled, if any that has been reported."""
        return None if self._withheld else self._started

    def feed(self, token: int) -> list[Event]:
        """Take one sampled id, any id, and return what it brought about."""
        return self._take(token)

    def finish(self) -> list[Event]:
        """Return what is left of a message that was cut short; half a header is nothing."""
        return self._end(complete=False) if self._started else []

    # Each method below is a state: what it makes of the next id.

    def _take_header(self, token: int) -> list[Event]:
        if token == vocabulary.MESSAGE:
            return self._take_message()
        if token == vocabulary.START:
            return self._take_start()
        if token in vocabulary.MESSAGE_ENDS:
            return self._end_without_message(token)
        if _is_ordinary(token) or token in {vocabulary.CHANNEL, vocabulary.CONSTRAIN}:
            self._header.append(token)
        if len(self._header) > _LONGEST_HEADER:
            return self._start_without_message()
        return []

    def _take_message(self) -> list[Event]:
        if not self._speaking_tool:
            return self._start(header.read(self._header, self._tools))
        call = header.speaks_its_own_call(self._header, self._speaking_tool, self._tools)
        self._speaking_tool = ""
        return self._start(call) if call else self._stop("other speaker")

    def _take_start(self) -> list[Event]:
        events: list[Event] = []
        if vocabulary.CHANNEL not in self._header or len(self._header) > _LONGEST_HEADER:
            self._header = []  # plain text between messages, or starts without end
        elif header.read(self._header, self._tools, message_missing=True).content:
            events = self._end_without_message(vocabulary.END)
        self._header.append(vocabulary.START)
        self._speaker, self._speaking_tool = b"", ""
        self._take = self._take_speaker
        return events

    def _take_speaker(self, token: int) -> list[Event]:
        if _is_ordinary(token):
            self._header.append(token)
            self._speaker += vocabulary.token_bytes()[token]
        speaker = self._speaker.decode(errors="replace").strip().lower()
        ended = not _is_ordinary(token) or len(self._speaker) > _LONGEST_HEADER
        if speaker.startswith(_ASSISTANT) or (ended and _ASSISTANT.startswith(speaker)):
            self._take = self._take_header
        elif ended or " " in speaker or not self._may_speak(speaker):
            return self._take_other_speaker(token)
        return [] if _is_ordinary(token) else self._take(token)

    def _take_other_speaker(self, token: int) -> list[Event]:
        """A channel's name where `assistant` belongs is the channel; a tool may be speaking its own call."""
        speaker = self._speaker.decode(errors="replace").strip().partition(" ")[0]
        if speaker in header.CHANNELS:
            self._header = [*render.ASSISTANT_START, vocabulary.CHANNEL, *encoding.encode_text(speaker)]
        elif self._tools.meant(speaker):
            self._speaking_tool = speaker
        else:
            return self._stop("other speaker")
        self._take = self._take_header
        return [] if _is_ordinary(token) else self._take_header(token)

    def _may_speak(self, begun: str) -> bool:
        """Whether a speaker that is read can have a name that begins so."""
        tools = (spelling.lower() for spelling, _ in self._tools.spellings())
        return any(name.startswith(begun) for name in (_ASSISTANT, *header.CHANNELS, *tools))

    def _take_without_header(self, token: int) -> list[Event]:
        """Text without any header: what it is, only its end tells."""
        if token == vocabulary.RETURN:
            return self._answer(self._content)
        if not _is_ordinary(token):
            self._take = self._take_header
            return self._take_header(token)
        self._content.append(token)
        checked = len(self._content) % _REPETITION_CHECKED_EVERY == 0 and self._stop_repetition
        return self._stop("repetition") if checked and repeated_block(self._content) else []

    def _take_content(self, token: int) -> list[Event]:
        if not _is_ordinary(token):
            return self._take_control(token)
        self._content.append(token)
        events = self._told(self._decoder.feed(token))
        if len(self._content) % _REPETITION_CHECKED_EVERY == 0 and self._stop_repetition:
            events += self._end_if_repeated()
        return events

    def _take_control(self, token: int) -> list[Event]:
        if token in vocabulary.MESSAGE_ENDS:
            return self._end(token, complete=True)
        if token == vocabulary.START:
            return self._end(vocabulary.END, complete=True) + self._take_start()
        if token == vocabulary.CHANNEL:
            self._take = self._take_after_channel
        return []

    def _take_after_channel(self, token: int) -> list[Event]:
        """`<|channel|>` inside a message: a new header if a channel's name follows, else it does not belong there."""
        self._take = self._take_content
        if not (_is_ordinary(token) and header.closest_channel(encoding.decode_text([token]))):
            return self._take_content(token)
        events = self._end(vocabulary.END, complete=True)
        self._header = [vocabulary.CHANNEL, token]
        return events

    def _take_nothing(self, _token: int) -> list[Event]:
        return []

    def _start(self, found: Header) -> list[Event]:
        channel: Channel = found.channel or "analysis"
        self._started = MessageStarted(channel, found.recipient)
        self._content_type = found.content_type
        if found.well_formed:
            self._start_tokens = [*self._header, vocabulary.MESSAGE]
        else:
            self._start_tokens = render.assistant_start(channel, found.recipient, found.content_type)
        self._withheld = None
        if channel == "commentary" and not found.recipient:
            self._withheld = OneObject()
        elif found.channel is None and not header.says_anything(self._header):
            self._withheld = "unnamed"
        self._content, self._text = encoding.encode_text(found.content), []
        self._decoder = encoding.TextDecoder()
        self._header = []
        self._take = self._take_content
        return [*([] if self._withheld else [self._started]), *self._told(found.content)]

    def _told(self, text: str) -> list[Event]:
        """Return what `text` brings about, the next of the message: itself, unless it is withheld."""
        if not text:
            return []
        self._text.append(text)
        if self._withheld is None:
            return [TextDelta(text)]
        if self._withheld == "unnamed" or self._withheld.feed(text):
            return []
        return self._release()

    def _name(self, channel: Channel) -> None:
        """Say what a withheld message is, now that it has ended: an answer only where nothing speaks against it."""
        channel = "analysis" if _names_another("".join(self._text)) else channel
        self._started = MessageStarted(channel, None)
        self._start_tokens = render.assistant_start(channel, None, None)

    def _release(self) -> list[Event]:
        assert self._started is not None
        self._withheld = None
        text = "".join(self._text)
        return [self._started, TextDelta(text)] if text else [self._started]

    def _start_without_message(self) -> list[Event]:
        if vocabulary.CHANNEL in self._header:
            return self._start(header.read(self._header, self._tools, message_missing=True))
        if self._has_no_header():
            self._content = self._text_without_header()
            self._take = self._take_without_header
        self._header = []  # else plain text between messages
        return []

    def _end_without_message(self, token: int) -> list[Event]:
        found = header.read(self._header, self._tools, message_missing=True)
        if found.content or (found.recipient and token == vocabulary.CALL):
            return self._start(found) + self._end(token, complete=True)
        if token == vocabulary.RETURN and self._has_no_header():
            return self._answer(self._text_without_header())
        self._header = []
        return []

    def _has_no_header(self) -> bool:
        """Whether what follows `<|start|>assistant` is text and nothing of a header."""
        begun = tuple(self._header[: len(render.ASSISTANT_START)]) == render.ASSISTANT_START
        return begun and not self._speaking_tool and not header.is_begun(self._header)

    def _text_without_header(self) -> list[int]:
        return list(filter(_is_ordinary, self._header[len(render.ASSISTANT_START) :]))

    def _answer(self, content: Sequence[int]) -> list[Event]:
        """Report text without a header that has ended as an answer does."""
        text = encoding.decode_text(content)
        channel: Channel = "analysis" if _names_another(text) else "final"
        self._header = list(render.assistant_start(channel, None, None)[:-1])
        started = self._start(header.read(self._header, self._tools))
        self._content = list(content)
        return [*started, *self._told(text), *self._end(vocabulary.RETURN, complete=True)]

    def _stop(self, reason: Literal["other speaker", "repetition"]) -> list[Event]:
        self._take = self._take_nothing
        return [Stopped(reason)]

    def _end_if_repeated(self) -> list[Event]:
        block = repeated_block(self._content)
        if not block:
            return []
        self._content = list(without_repetition(self._content, block))
        return [*self._end(complete=False), *self._stop("repetition")]

    def _end(self, *stop: int, complete: bool) -> list[Event]:
        assert self._started is not None
        events = self._told(self._decoder.finish())
        lost = isinstance(self._withheld, OneObject) and self._withheld.begun
        if self._withheld:
            if lost or self._withheld == "unnamed":
                self._name("final" if stop == (vocabulary.RETURN,) and not lost else "analysis")
            events += self._release()
        ended = MessageEnded(
            self._started.channel,
            self._started.recipient,
            self._content_type,
            "".join(self._text),
            (*self._start_tokens, *self._content, *stop),
            complete,
        )
        self._started = None
        self._header = []
        self._take = self._take_header
        return [*events, ended, *([RecipientLost()] if lost and complete else [])]


def _is_ordinary(token: int) -> bool:
    return 0 <= token < vocabulary.FIRST_SPECIAL_ID


def _names_another(text: str) -> bool:
    """Whether text without a channel begins with the name of one that is not the answer's."""
    return text.lstrip().startswith(("analysis", "commentary"))
