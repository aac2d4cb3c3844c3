"""Changes one place in JSON with comments and trailing commas, and leaves every other character as it is.

Knows tokens, and where the members of an object begin and end. Knows nothing about files or editors.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TOKEN = re.compile(
    r"""(?P<line_comment>//[^\n]*)
      | (?P<block_comment>/\*.*?\*/)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<unclosed>(?:/\*|").*)  # all of it, so that a text of many is not looked through for each
      | (?P<mark>[{}\[\]:,])
      | [\s\ufeff]+
      | (?P<word>[^\s\ufeff{}\[\]:,"/]+|.)  # a number, true, false, null, or what is not JSON
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENTS = frozenset({"line_comment", "block_comment"})


class _Token(NamedTuple):
    kind: str
    text: str
    begin: int

    @property
    def end(self) -> int:
        """Where it ends; a comment to the end of a line does not have the carriage return there."""
        return self.begin + len(self.text.rstrip("\r") if self.kind == "line_comment" else self.text)


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
    tokens, value = _read(text)
    for holder, key in zip(_along(tokens, path), path, strict=False):
        if holder.find(key) is None:
            return None
        value = value[key]
    return value


def put(text: str, path: Sequence[str], value: Any) -> str:
    """Return the text with `value` at `path`, behind what its object has, or in place of what stands there.

    Raises:
        JsoncError: the text is not valid, or what stands on the way is no object.
    """
    tokens, wanted = _read(text)
    holder_value = wanted
    holders = _along(tokens, path)
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
    tokens, wanted = _read(text)
    holder_value = wanted
    holders = _along(tokens, path)
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


def is_empty(text: str) -> bool:
    """Return whether there is nothing in a text but blanks and comments."""
    return all(token.kind in _COMMENTS for token in _tokens(text))


def _read(text: str) -> tuple[list[_Token], Any]:
    """Return what a text is made of, and the object that it is.

    Raises:
        JsoncError: the text is not valid.
    """
    tokens = list(_tokens(text))
    try:
        value = json.loads(_without_extras(text, tokens), strict=False)
    except json.JSONDecodeError as error:
        raise JsoncError(f"is not valid JSON with comments: see line {error.lineno}") from None
    except (ValueError, RecursionError) as error:
        raise JsoncError(f"can't be read as JSON with comments ({error})") from None
    if not isinstance(value, dict):
        raise JsoncError("is not an object in braces")
    return tokens, value


def _tokens(text: str) -> Iterator[_Token]:
    return (_Token(found.lastgroup, found[0], found.start()) for found in _TOKEN.finditer(text) if found.lastgroup)


def _without_extras(text: str, tokens: Sequence[_Token]) -> str:
    """Return the text with blanks for what JSON does not have: comments, commas at an end, a byte order mark."""
    extras = [token for token in tokens if token.kind in _COMMENTS]
    others = [token for token in tokens if token.kind not in _COMMENTS]
    for before, token, after in zip(others, others[1:], others[2:], strict=False):
        if token.text == "," and after.text in "}]" and before.text not in "{[,":
            extras.append(token)
    pieces, done = [], 0
    for extra in sorted(extras, key=lambda token: token.begin):
        end = extra.begin + len(extra.text)
        pieces += [text[done : extra.begin], re.sub(r"[^\n]", " ", extra.text)]
        done = end
    return "".join([*pieces, text[done:]]).removeprefix("\ufeff")


def _checked(text: str, wanted: Any) -> str:
    """Return the text if it says what is wanted, all else included."""
    if repr(_read(text)[1]) != repr(wanted):
        raise JsoncError("has a form that is not known here")
    return text


def _along(tokens: Sequence[_Token], path: Sequence[str]) -> list[_Object]:
    """Return the objects on the way to `path`, from the outermost to the last that is there.

    Raises:
        JsoncError: what stands on the way is no object.
    """
    opening = next(number for number, token in enumerate(tokens) if token.kind not in _COMMENTS)
    objects = [_object(tokens, opening)]
    for key in path[:-1]:
        member = objects[-1].find(key)
        if member is None:
            break
        if tokens[member.value].text != "{":
            raise JsoncError(f'has something else than an object in braces under "{key}"')
        objects.append(_object(tokens, member.value))
    return objects


def _object(tokens: Sequence[_Token], opening: int) -> _Object:
    """Return the object that begins with the token of that number."""
    pieces: list[list[int]] = [[]]
    commas: list[int] = []
    depth = 0
    closing = opening + 1
    while depth or tokens[closing].text != "}":
        token = tokens[closing]
        if token.text == "," and not depth:
            commas.append(token.begin)
            pieces.append([])
        elif token.kind not in _COMMENTS:
            depth += (token.text in {"{", "["}) - (token.text in {"}", "]"})
            pieces[-1].append(closing)
        closing += 1
    members = (_member(tokens, piece, comma) for piece, comma in zip_longest(pieces, commas) if piece)
    return _Object(tuple(members), tokens[opening].end, tokens[closing - 1].end, tokens[closing].begin)


def _member(tokens: Sequence[_Token], piece: Sequence[int], comma: int | None) -> _Member:
    key, _, value, *_ = piece
    name, before = json.loads(tokens[key].text, strict=False), tokens[key - 1]
    begin, value_begin, end = tokens[key].begin, tokens[value].begin, tokens[piece[-1]].end
    return _Member(name, before.end, before.kind == "line_comment", begin, value, value_begin, end, comma)


def _has_comments(text: str, path: Sequence[str]) -> bool:
    tokens, _ = _read(text)
    member = _along(tokens, path)[-1].find(path[-1])
    comments = (token for token in tokens if token.kind in _COMMENTS)
    return member is not None and any(member.begin <= comment.begin < member.end for comment in comments)


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
