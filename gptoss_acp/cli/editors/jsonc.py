"""Changes one place in JSON with comments and trailing commas, and leaves every other character as it is.

Knows tokens, and where the members of an object begin and end. Knows nothing about files or editors.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import json5
from json5.tokenizer import tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from json5.tokenizer import JSON5Token

_COMMENTS = frozenset({"LINE_COMMENT", "BLOCK_COMMENT"})
_OPENING = frozenset({"LBRACE", "LBRACKET"})
_CLOSING = frozenset({"RBRACE", "RBRACKET"})
_STRINGS = frozenset({"DOUBLE_QUOTE_STRING", "SINGLE_QUOTE_STRING"})


class JsoncError(Exception):
    """A text that can't be changed; its message goes on where a file's name stands before it."""


@dataclass(frozen=True)
class _Member:
    """A member of an object; where there is no word on it, a number is a position in the text."""

    key: str
    before: int  # where the token before it ends
    after_line_comment: bool
    begin: int
    value: int  # the number of the token with which its value begins
    value_begin: int
    end: int
    comma: int | None


@dataclass(frozen=True)
class _Object:
    members: tuple[_Member, ...]
    opening: int
    last: int  # where the last token before the closing brace ends, be it a comment or the opening brace
    closing: int

    def find(self, key: str) -> _Member | None:
        """Return the member of that name.

        Raises:
            JsoncError: there are several.
        """
        found = [member for member in self.members if member.key == key]
        if len(found) > 1:
            raise JsoncError(f'names "{key}" more than once')
        return found[0] if found else None

    def on_lines(self, text: str) -> bool:
        """Return whether members stand on lines of their own."""
        first = self.members[0].begin if self.members else self.closing
        return "\n" in text[self.opening : first] or "\n" in text[self.last : self.closing]


def get(text: str, path: Sequence[str]) -> Any:
    """Return the value at `path`, None where there is none.

    Raises:
        JsoncError: the text is not valid, or what stands on the way is no object.
    """
    value = _parse(text)
    for holder, key in zip(_along(text, path), path, strict=False):
        if holder.find(key) is None:
            return None
        value = value[key]
    return value


def put(text: str, path: Sequence[str], value: Any) -> str:
    """Return the text with `value` at `path`, behind what its object has, or in place of what stands there.

    Raises:
        JsoncError: the text is not valid, or what stands on the way is no object.
    """
    wanted = holder_value = copy.deepcopy(_parse(text))
    holders = _along(text, path)
    for key in path[: len(holders) - 1]:
        holder_value = holder_value[key]
    holder, (key, *missing) = holders[-1], path[len(holders) - 1 :]
    for name in reversed(missing):
        value = {name: value}
    holder_value[key] = value
    member = holder.find(key)
    changed = _insert(text, holder, key, value) if member is None else _replace(text, holder, member, value)
    return _checked(changed, wanted)


def remove(text: str, path: Sequence[str]) -> str:
    """Return the text without what is at `path`, nor the object around it where that had nothing else in it.

    Raises:
        JsoncError: the text is not valid, or what stands on the way is no object.
    """
    wanted = holder_value = copy.deepcopy(_parse(text))
    holders = _along(text, path)
    if len(holders) < len(path) or (member := holders[-1].find(path[-1])) is None:
        return text
    for key in path[:-1]:
        holder_value = holder_value[key]
    del holder_value[path[-1]]
    changed = _checked(_take_out(text, holders[-1], member), wanted)
    around = path[:-1]
    if around and not holder_value and not _has_comments(changed, around):
        return remove(changed, around)
    return changed


def _parse(text: str) -> Any:
    try:
        value = json5.loads(text)
    except json5.JSON5DecodeError as error:
        raise JsoncError(f"is not valid JSON with comments: see line {_line(error, text)}") from None
    except (UnicodeError, RecursionError) as error:
        raise JsoncError(f"can't be read as JSON with comments ({error})") from None
    if not isinstance(value, dict):
        raise JsoncError("is not an object in braces")
    return value


def _line(error: json5.JSON5DecodeError, text: str) -> int:
    """Return the line at which a text can't be understood: its last where the error names none."""
    if named := re.search(r"line (\d+)", error.msg):
        return int(named[1])
    position = re.search(r"index (\d+)", error.msg)
    return 1 + text.count("\n", 0, int(position[1]) if position else len(text))


def _checked(text: str, wanted: Any) -> str:
    """Return the text if it says what is wanted, all else included."""
    if repr(_parse(text)) != repr(wanted):
        raise JsoncError("has a form that is not known here")
    return text


def _tokens(text: str) -> list[JSON5Token]:
    return [token for token in tokenize(text) if token.type != "WHITESPACE"]


def _along(text: str, path: Sequence[str]) -> list[_Object]:
    """Return the objects on the way to `path`, from the outermost to the last that is there.

    Raises:
        JsoncError: what stands on the way is no object.
    """
    tokens = _tokens(text)
    opening = next(number for number, token in enumerate(tokens) if token.type not in _COMMENTS)
    objects = [_object(tokens, opening)]
    for key in path[:-1]:
        member = objects[-1].find(key)
        if member is None:
            break
        if tokens[member.value].type != "LBRACE":
            raise JsoncError(f'has something else than an object in braces under "{key}"')
        objects.append(_object(tokens, member.value))
    return objects


def _object(tokens: Sequence[JSON5Token], opening: int) -> _Object:
    """Return the object that begins with the token of that number."""
    pieces: list[list[int]] = [[]]
    commas: list[int] = []
    depth = 0
    closing = opening + 1
    while depth or tokens[closing].type != "RBRACE":
        kind = tokens[closing].type
        if kind == "COMMA" and not depth:
            commas.append(tokens[closing].index)
            pieces.append([])
        elif kind not in _COMMENTS:
            depth += (kind in _OPENING) - (kind in _CLOSING)
            pieces[-1].append(closing)
        closing += 1
    members = (_member(tokens, piece, comma) for piece, comma in zip_longest(pieces, commas) if piece)
    end = _end(tokens[closing - 1])
    return _Object(tuple(members), tokens[opening].end, end, tokens[closing].index)


def _member(tokens: Sequence[JSON5Token], piece: Sequence[int], comma: int | None) -> _Member:
    key, _, value, *_ = piece
    token = tokens[key]
    name = json5.loads(token.value) if token.type in _STRINGS else token.value
    before = tokens[key - 1]
    begins, ends = tokens[value].index, _end(tokens[piece[-1]])
    return _Member(name, _end(before), before.type == "LINE_COMMENT", token.index, value, begins, ends, comma)


def _end(token: JSON5Token) -> int:
    """Return where a token ends; a comment to the end of a line does not have the carriage return there."""
    text = token.value.rstrip("\r") if token.type == "LINE_COMMENT" else token.value
    return token.index + len(text)


def _has_comments(text: str, path: Sequence[str]) -> bool:
    member = _along(text, path)[-1].find(path[-1])
    tokens = (token for token in _tokens(text) if token.type in _COMMENTS)
    return member is not None and any(member.begin <= token.index < member.end for token in tokens)


def _insert(text: str, holder: _Object, key: str, value: Any) -> str:
    """Put a member behind the last one, in the same form: on a line of its own or not, with a comma or without."""
    ends_in_comma = bool(holder.members) and holder.members[-1].comma is not None
    if holder.on_lines(text):
        indent = _indent_of_members(text, holder)
        lead = _newline(text) + indent
        written = _written(value, lead, _unit(text))
    else:
        lead = " " if holder.members else ""
        written = json.dumps(value, ensure_ascii=False)
    head = text[: holder.last]
    if holder.members and not ends_in_comma:
        end = holder.members[-1].end
        head = f"{text[:end]},{text[end : holder.last]}"
    return f"{head}{lead}{json.dumps(key)}: {written}{',' if ends_in_comma else ''}{text[holder.last :]}"


def _replace(text: str, holder: _Object, member: _Member, value: Any) -> str:
    if holder.on_lines(text):
        written = _written(value, _newline(text) + _indent(text, member.begin), _unit(text))
    else:
        written = json.dumps(value, ensure_ascii=False)
    return text[: member.value_begin] + written + text[member.end :]


def _ends_line(text: str, place: int) -> bool:
    """Whether nothing but a comma is left on the line."""
    rest, end, _ = text[place:].partition("\n")
    return bool(end) and rest.strip(" \t\r") in {"", ","}


def _take_out(text: str, holder: _Object, member: _Member) -> str:
    begin = member.before
    if member.after_line_comment and not _ends_line(text, member.end):
        begin = text.index("\n", begin) + 1  # else what follows would belong to the comment
    kept = text[:begin], text[member.end :]
    number = holder.members.index(member)
    if member.comma is not None:
        kept = kept[0], text[member.end : member.comma] + text[member.comma + 1 :]
    elif number and (comma := holder.members[number - 1].comma) is not None:
        kept = text[:comma] + text[comma + 1 : begin], kept[1]
    return "".join(kept)


def _written(value: Any, lead: str, unit: str) -> str:
    """Return JSON with each member of an object on a line; `lead` is what begins the line that the value begins on."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = lead + unit
    members = (f"{inner}{json.dumps(key)}: {_written(member, inner, unit)}" for key, member in value.items())
    return "{" + ",".join(members) + lead + "}"


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent(text: str, position: int) -> str:
    """Return the blanks that begin the line of a position."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _indent_of_members(text: str, holder: _Object) -> str:
    if holder.members:
        first = holder.members[0].begin
        line = text[text.rfind("\n", 0, first) + 1 : first]
        if not line.strip(" \t"):
            return line
    return _indent(text, holder.opening) + _unit(text)


def _unit(text: str) -> str:
    """Return by what each level is indented further: the first indented member tells."""
    found = re.search(r"\n([ \t]+)[\"']", text)
    return found[1] if found else "  "
