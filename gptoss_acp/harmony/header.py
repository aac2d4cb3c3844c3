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
from gptoss_acp.tool_description import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gptoss_acp.tool_names import ToolNames

Channel = Literal["analysis", "commentary", "final"]
CHANNELS: tuple[Channel, ...] = ("analysis", "commentary", "final")

# A header is read as text. Control characters stand for the control tokens; one that counts as a blank stands behind
# a channel's name where its last token ends, for in `final` and `Hello` without `<|message|>` nothing else would.
_START, _CHANNEL, _CONSTRAIN, _NAME_END = "\x01", "\x02", "\x03", "\x1f"
_MARKS = {vocabulary.START: b"\x01", vocabulary.CHANNEL: b"\x02", vocabulary.CONSTRAIN: b"\x03"}
_MARK_BYTES = b"\x01\x02\x03\x1f"
_CHANNEL_BYTES = {name.encode() for name in CHANNELS}

_NAME = r"[A-Za-z0-9_.\-]{1,300}"
_TO = r"to\s*=\s*[\"'`]?"
_RECIPIENT = re.compile(rf"{_TO}({_NAME})(?=((?: +{_NAME}){{0,3}}))|(?<![\w.])(functions\.{_NAME})", re.IGNORECASE)
_FUNCTIONS = re.compile(r"(functions\.)+", re.IGNORECASE)
_CONTENT_TYPE = re.compile(rf"{_CONSTRAIN}\s*(\w+)|(?<!\S)(json|code)(?!\S)")
_ANY_CONTENT_TYPE = re.compile(rf"{_CONSTRAIN}\s*\w*|(?<!\S)(json|code)(?!\S)")
_OPENING = re.compile(
    rf"\s*[^\s{_CONSTRAIN}]*?(?=to\s*=|[\s{_CONSTRAIN}]|$)"  # the channel
    rf"\s*(?P<to>(?:{_TO}|(?=functions\.)){_NAME}[\"'`:,]*)?"
    rf"(?:\s*{_CONSTRAIN}\s*\w+|(?(to)\s*(?:json|code)\b|))?\s*"  # the content type
)
_BARE_NAME = re.compile(rf"(?:{_TO}assistant\s+)?({_NAME}(?: {_NAME}){{0,3}})(?:\s+{_TO}assistant)?", re.IGNORECASE)
_DOTTED = re.compile(r"\A[A-Za-z_]\w{0,60}(?:\.[A-Za-z_]\w{0,60}){1,4}")
_NAME_AND_OBJECT = re.compile(rf"\A\s{{0,9}}({_NAME})\s{{0,9}}(json|code)?\s{{0,9}}(?={{)")
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


def read(tokens: Sequence[int], tools: ToolNames, *, message_missing: bool = False) -> Header:
    """Read the ids up to `<|message|>`; of several headers in a row the last that names a channel or a tool counts.

    With `message_missing`, what follows the last channel's name, its recipient and its content type is content.
    """
    text, content = _text(tokens), ""
    if message_missing:
        text, content = _split_content(text)
    headers = (_read_one(header, tools, name_alone=not message_missing) for header in reversed(text.split(_START)))
    header = next((header for header in headers if header.channel), Header(None))
    if content and not header.recipient and header.channel != "final":
        header, content = _without_message(content, tools)
    well_formed = tuple(tokens[:2]) == ASSISTANT_START and text in _spellings(header) and not message_missing
    return replace(header, content=content, well_formed=well_formed)


def speaks_its_own_call(tokens: Sequence[int], speaker: str, tools: ToolNames) -> Header | None:
    """Return the header of a call in which the tool stands where `assistant` belongs, None where it is no call.

    A tool's result, which the model must not write, is addressed to the assistant and has no content type.
    """
    text = _text(tokens)
    if not _CONTENT_TYPE.search(text):
        return None
    recipient = speaker if "." in speaker else tools.meant(speaker)
    found = _read_one(text.removeprefix(_START).replace(speaker, f"to={recipient}", 1), tools, name_alone=False)
    return found if found.recipient else None


def is_begun(tokens: Sequence[int]) -> bool:
    """Whether what follows `<|start|>assistant` is a part of a header: a channel, a recipient, or a channel's name."""
    rest = _behind_name(tokens)
    return _CHANNEL in rest or bool(_RECIPIENT.search(rest)) or not rest or rest.lower() in CHANNELS


def says_anything(tokens: Sequence[int]) -> bool:
    """Whether there is more in a header than the assistant's name."""
    return bool(_behind_name(tokens).strip(f"{_CHANNEL} \n"))


def _behind_name(tokens: Sequence[int]) -> str:
    return _text(tokens).replace(f"{_START}assistant", "").replace(_CONSTRAIN, "").strip()


def closest_channel(text: str) -> Channel | None:
    """Return the channel that `text` names or plainly means; in doubt the one that is hidden."""
    text = text.lower()
    for name in CHANNELS:
        if name in text:
            return name
    word = "".join(filter(str.isalpha, text.split(maxsplit=1)[0])) if text.strip() else ""
    close = get_close_matches(word, CHANNELS, n=1, cutoff=0.75)
    return cast("Channel", close[0]) if close else None


def _without_message(content: str, tools: ToolNames) -> tuple[Header, str]:
    """Read what stands behind `analysis` or `commentary` where `<|message|>` is missing.

    A tool's name and an object are a call; else it is reasoning, behind `commentary` too, in nearly every case.
    """
    match = _NAME_AND_OBJECT.match(content)
    recipient = tools.meant(match[1]) if match else None
    if match and recipient:
        return Header(_usual_channel(recipient), recipient, match[2]), content[match.end() :]
    return Header("analysis"), content


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


def _read_one(header: str, tools: ToolNames, *, name_alone: bool) -> Header:
    """Read one header; with `name_alone`, a tool's name that stands by itself where nothing else could is its name."""
    role, *parts = header.split(_CHANNEL)
    parts = parts or [role]
    meant = [(_channel_of(part), part) for part in parts]
    channel, part = next((pair for pair in reversed(meant) if pair[0]), meant[-1])
    recipient = _recipient([role, *(other for name, other in meant if name == channel)], tools)
    if not recipient and name_alone:
        recipient = _named_alone([other for name, other in meant if name in {channel, None}], tools)
    if not recipient:
        return Header(channel)
    content_type = _CONTENT_TYPE.search(part)
    return Header(
        channel if channel in {"analysis", "commentary"} else _usual_channel(recipient),
        recipient,
        (content_type[1] or content_type[2]) if content_type else None,
    )


def _channel_of(part: str) -> Channel | None:
    return closest_channel(_RECIPIENT.sub(" ", part.replace(_CONSTRAIN, " ")))


def _usual_channel(recipient: str) -> Channel:
    """Return the channel on which gpt-oss was trained to call a tool (openai/harmony, docs/format.md)."""
    return "commentary" if recipient.startswith(f"{FUNCTIONS}.") else "analysis"


def _recipient(parts: Iterable[str], tools: ToolNames) -> str | None:
    """Return the last tool that is named, as `functions.x` unless it has a namespace of its own."""
    recipient = None
    for match in _RECIPIENT.finditer(" ".join(parts)):
        name = (match[1] or match[3]).strip(".-")
        bare = _FUNCTIONS.sub("", name)
        if bare and bare.lower() not in _NO_TOOLS:
            recipient = (name if "." in bare and bare == name else f"{FUNCTIONS}.{bare}")[:_LONGEST_NAME]
            recipient = _with_blanks(name, match[2], tools) or recipient
    return recipient


def _with_blanks(name: str, more: str | None, tools: ToolNames) -> str | None:
    """Return the tool that a name of several words means, None where its first word is a tool or no more are."""
    words = [name, *_ANY_CONTENT_TYPE.sub("", more or "").split()]
    if tools.meant(name):
        return None
    return next(filter(None, (tools.meant("_".join(words[:count])) for count in range(len(words), 1, -1))), None)


def _named_alone(parts: Sequence[str], tools: ToolNames) -> str | None:
    """Return the last tool whose name stands in the channel's place, or bare behind the channel, with nothing else."""
    for part in reversed(parts):
        words = _ANY_CONTENT_TYPE.sub("", part).replace(_NAME_END, " ").split()
        in_its_place = words and not closest_channel(words[0])
        if match := _BARE_NAME.fullmatch(" ".join(words if in_its_place else words[1:])):
            name = match[1]
            if _DOTTED.fullmatch(name) and (in_its_place or tools.meant(name)):
                return name[:_LONGEST_NAME]
            if recipient := tools.meant(name):
                return recipient
    return None


def _spellings(header: Header) -> Iterable[str]:
    """Every spelling that openai-harmony reads as we do (src/encoding.rs, parse_header_from_string)."""
    start, channel = f"{_START}assistant", f"{_CHANNEL}{header.channel}{_NAME_END}"
    if not header.recipient:
        return (start + channel,)
    word, to = header.content_type, f" to={header.recipient}"
    content_types = (f" {_CONSTRAIN}{word}", f"{_CONSTRAIN}{word}", f" {word}") if word else ("",)
    return [spelling + end for end in content_types for spelling in (start + to + channel, start + channel + to)]
