"""What stands between `<|start|>` and `<|message|>`: read as it is meant, however it is spelt.

Knows how gpt-oss writes headers, and how it gets them wrong. Knows nothing about streaming, tools or the ledger.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, cast

from gptoss_acp import vocabulary
from gptoss_acp.harmony.render import ASSISTANT_START

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Channel = Literal["analysis", "commentary", "final"]
CHANNELS: tuple[Channel, ...] = ("analysis", "commentary", "final")

# A header is read as text. Control characters stand for the control tokens; one that counts as a blank stands behind
# a channel's name where its last token ends, for in `final` and `Hello` without `<|message|>` nothing else would.
_START, _CHANNEL, _CONSTRAIN, _NAME_END = "\x01", "\x02", "\x03", "\x1f"
_MARKS = {vocabulary.START: b"\x01", vocabulary.CHANNEL: b"\x02", vocabulary.CONSTRAIN: b"\x03"}
_MARK_BYTES = b"\x01\x02\x03\x1f"
_CHANNEL_BYTES = {name.encode() for name in CHANNELS}

_NAME = r"[A-Za-z0-9_.\-]+"
_RECIPIENT = re.compile(rf"to\s*=\s*[\"'`]?({_NAME})|(?<![\w.])(functions\.{_NAME})", re.IGNORECASE)
_FUNCTIONS = re.compile(r"(functions\.)+", re.IGNORECASE)
_CONTENT_TYPE = re.compile(rf"{_CONSTRAIN}\s*(\w+)|(?<!\S)(json|code)(?!\S)")
_OPENING = re.compile(
    rf"\s*[^\s{_CONSTRAIN}]*?(?=to\s*=|[\s{_CONSTRAIN}]|$)"  # the channel
    rf"\s*(?P<to>(?:to\s*=\s*[\"'`]?|(?=functions\.)){_NAME}[\"'`:,]*)?"
    rf"(?:\s*{_CONSTRAIN}\s*\w+|(?(to)\s*(?:json|code)\b|))?\s*"  # the content type
)
_NO_TOOLS = {"all", "assistant", "developer", "system", "tool", "user"}
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Header:
    """A header as it is meant.

    With a recipient (`functions.x`, or a name in another namespace) the message is a tool call, and never on `final`.
    Without a channel there is no recipient either: it says nothing that we know. `content` is what stood behind the
    header if `<|message|>` is missing. A well-formed one is spelt so that openai-harmony reads it as we do.
    """

    channel: Channel | None
    recipient: str | None = None
    content_type: str | None = None
    content: str = ""
    well_formed: bool = False


def read(tokens: Sequence[int], *, message_missing: bool = False) -> Header:
    """Read the ids up to `<|message|>`; of several headers in a row the last that names a channel or a tool counts.

    With `message_missing`, what follows the last channel's name, its recipient and its content type is content.
    """
    text, content = _text(tokens), ""
    if message_missing:
        text, content = _split_content(text)
    headers = map(_read_one, reversed(text.split(_START)))
    header = next((header for header in headers if header.channel), Header(None))
    well_formed = tuple(tokens[:2]) == ASSISTANT_START and text in _spellings(header) and not message_missing
    return replace(header, content=content, well_formed=well_formed)


def closest_channel(text: str) -> Channel | None:
    """Return the channel that `text` names or plainly means; in doubt the one that is hidden."""
    text = text.lower()
    for name in CHANNELS:
        if name in text:
            return name
    word = "".join(filter(str.isalpha, text.split(maxsplit=1)[0])) if text.strip() else ""
    close = get_close_matches(word, CHANNELS, n=1, cutoff=0.75)
    return cast("Channel", close[0]) if close else None


def _text(tokens: Iterable[int]) -> str:
    pieces: list[bytes] = []
    name: bytes | None = None
    for token in tokens:
        if token in _MARKS:
            pieces.append(_MARKS[token])
            name = b"" if token == vocabulary.CHANNEL else None
            continue
        piece = vocabulary.token_bytes()[token].translate(None, _MARK_BYTES)
        pieces.append(piece)
        if name is not None:
            name += piece
            if name in _CHANNEL_BYTES:
                pieces.append(_NAME_END.encode())
    return b"".join(pieces).decode(errors="replace")


def _split_content(text: str) -> tuple[str, str]:
    """Part a header from the content that follows without `<|message|>`; without a channel there is neither."""
    start = text.rfind(_START) + 1
    channel = text.rfind(_CHANNEL, start) + 1
    if not channel:
        return text[:start], ""
    opening = _OPENING.match(text, channel)
    end = opening.end() if opening else len(text)
    return text[:end], text[end:].replace(_CONSTRAIN, "").replace(_NAME_END, "")


def _read_one(header: str) -> Header:
    role, *parts = header.split(_CHANNEL)
    parts = parts or [role]
    meant = [(_channel_of(part), part) for part in parts]
    channel, part = next((pair for pair in reversed(meant) if pair[0]), meant[-1])
    recipient = _recipient([role, *(other for name, other in meant if name == channel)])
    if not recipient:
        return Header(channel)
    content_type = _CONTENT_TYPE.search(part)
    return Header(
        "analysis" if channel == "analysis" else "commentary",
        recipient,
        (content_type[1] or content_type[2]) if content_type else None,
    )


def _channel_of(part: str) -> Channel | None:
    return closest_channel(_RECIPIENT.sub(" ", part.replace(_CONSTRAIN, " ")))


def _recipient(parts: Iterable[str]) -> str | None:
    """Return the last tool that is named, as `functions.x` unless it has a namespace of its own."""
    recipient = None
    for match in _RECIPIENT.finditer(" ".join(parts)):
        name = (match[1] or match[2]).strip(".-")
        bare = _FUNCTIONS.sub("", name)
        if bare and bare.lower() not in _NO_TOOLS:
            recipient = (name if "." in bare and bare == name else f"functions.{bare}")[:_LONGEST_NAME]
    return recipient


def _spellings(header: Header) -> Iterable[str]:
    """Every spelling that openai-harmony reads as we do (src/encoding.rs, parse_header_from_string)."""
    start, channel = f"{_START}assistant", f"{_CHANNEL}{header.channel}{_NAME_END}"
    if not header.recipient:
        return (start + channel,)
    word, to = header.content_type, f" to={header.recipient}"
    content_types = (f" {_CONSTRAIN}{word}", f"{_CONSTRAIN}{word}", f" {word}") if word else ("",)
    return [spelling + end for end in content_types for spelling in (start + to + channel, start + channel + to)]
