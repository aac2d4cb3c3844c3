"""The arguments of a tool call, as the model wrote them: JSON, or nearly.

Knows how gpt-oss gets JSON wrong. Knows nothing about the tools. All of it takes time linear in the text.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SECOND_CALL = "(only the first of the objects was carried out; call again for the other)"

_STRING_OR_SIGN = re.compile(r'"(?:[^"\\]|\\.|\\\Z)*+(?:"|\Z)|[{}\[\]]|,(?=[ \t\r\n]{0,1000}[}\]])', re.DOTALL)
"""A string, perhaps without its end; a bracket; a comma with nothing behind it."""

OBJECT = re.compile(r'\{\s*+"(?P<name>[^"\\]{0,100})"')
"""How an object begins that is not empty."""

_BEFORE = "\ufeff \t\r\n"
_PROSE = re.compile(r"\A[\w\n ,.:;!'`-]{0,500}+(?=\{)")
_CLOSING = "]} \t\r\n"
_KINDS = {list: "an array", str: "a string", bool: "a truth value", type(None): "null"}
MOST_WRAPPINGS = 3
"""How often arguments may be wrapped in something else."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)


class ArgumentError(ValueError):
    """The arguments can't be read; the message tells the model where and why."""


def begins_as_json(text: str) -> bool:
    """Whether `text` begins as a value does that could hold arguments."""
    return text.lstrip(_BEFORE).startswith(("{", "[", '"'))


def read_object(text: str, notes: list[str]) -> dict[str, Any]:
    """Read the arguments of a tool whose schema is an object: `read_value` and `as_object` in one."""
    return as_object(read_value(text, notes), notes)


def read_value(text: str, notes: list[str]) -> Any:
    """Read what the model has written as JSON. No text at all is an empty object.

    A code fence, a byte order mark, trailing commas, line breaks inside strings, a bracket or brace too many or too few
    at the end, text around the object and a string around it are read as they are meant. What is left out is said in
    `notes`.

    Raises:
        ArgumentError: it is no JSON, at the line and column that the message gives.
    """
    text = _without_wrapping(text)
    value = _read(text, notes) if text.strip() else {}
    for _ in range(MOST_WRAPPINGS):
        if not (isinstance(value, str) and value.lstrip().startswith("{")):
            break
        try:
            value = _read(value, notes)
        except ArgumentError:
            break
    return value


def as_object(value: Any, notes: list[str]) -> dict[str, Any]:
    """Return the object that `value` is, or the first of an array of nothing else.

    Raises:
        ArgumentError: it is something else.
    """
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        if len(value) > 1:
            notes.append(SECOND_CALL)
        value = value[0]
    if not isinstance(value, dict):
        raise ArgumentError(f"The arguments must be a JSON object, not {_KINDS.get(type(value), 'a number')}.")
    return value


def read_text(text: str, names: Sequence[str], notes: list[str]) -> str:
    """Read the argument of a tool that takes one text: the text itself, a JSON string, or one of an object.

    The object's argument is the first of `names` that it has, else its only one.

    Raises:
        ArgumentError: it is in an object that can't be read.
    """
    inside = without_fence(text)
    begun = begins_as_json(inside)
    prose = None if begun else _PROSE.match(inside)
    if not begun and prose is None:
        return inside
    noted: list[str] = []
    try:
        value = read_value(inside[prose.end() :] if prose else inside, noted)
    except ArgumentError as error:
        first = OBJECT.match(inside.lstrip(f"{_BEFORE}["))
        if first and first["name"] in names:
            raise ArgumentError(f"{error} The {names[0]} may also be sent as it is, without JSON.") from None
        return inside
    # A program may well hold an object of its own.
    is_meant = begun or (isinstance(value, dict) and names[0] in value)
    told = _text_of(value, names, noted) if is_meant else None
    if told is None:
        return inside
    notes += noted
    return told


def _text_of(value: Any, names: Sequence[str], notes: list[str], depth: int = 0) -> str | None:
    """Return the text that is meant by `value`, however deep it is wrapped."""
    if depth > MOST_WRAPPINGS:
        return None
    match value:
        case str():
            inside = read_value(json.dumps(value), []) if depth else value
            is_meant = isinstance(inside, dict) and any(name in inside for name in names)
            return _text_of(inside, names, notes, depth + 1) if is_meant else value
        case [dict(one)]:
            return _text_of(one, names, notes, depth + 1)
        case list():
            return _of_list([item for item in value if isinstance(item, str)])
        case dict():
            return _text_of(_of_object(value, names, notes), names, notes, depth + 1)
    return None


def _of_object(value: dict[str, Any], names: Sequence[str], notes: list[str]) -> Any:
    """Return the first of `names` that an object has, else all it has."""
    name = next((name for name in names if value.get(name) is not None), None)
    if name is None:
        return next(iter(value.values())) if len(value) == 1 else None
    others = [other[:60] for other in value if other != name and value[other] is not None]
    if others and not isinstance(value[name], dict):
        notes.append(f"(ignored: {', '.join(others[:5])}; the argument is {names[0]})")
    return value[name]


def _of_list(texts: list[str]) -> str | None:
    """Return the text among the arguments of a program, or else the one whose lines they are."""
    longest = max(texts, key=len, default=None)
    return longest if longest is None or "\n" in longest or "\\n" in longest else "\n".join(texts)


def _read(text: str, notes: list[str]) -> Any:
    """Return the value that `text` is, or else the object that stands in it."""
    text = _without_trailing_commas(text)
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        problem = error
    if begins_as_json(text):
        start = len(text) - len(text.lstrip(_BEFORE))
    elif first := OBJECT.search(text):
        start = first.start()
    else:
        raise ArgumentError(_explained(problem, text))
    for candidate in (text[start:], _closed(text[start:])):
        try:
            value, end = _DECODER.raw_decode(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict | list):
            if OBJECT.search(candidate, end):
                notes.append(SECOND_CALL)
            return _checked(value)
    raise ArgumentError(_explained(problem, text))


def _decode(text: str) -> Any:
    try:
        return _checked(_DECODER.decode(text))
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"The arguments can't be read: {error}.") from None


def _checked(value: Any) -> Any:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ArgumentError("The arguments are not valid JSON: a \\u escape is half of a surrogate pair.") from None
    except RecursionError as error:
        raise ArgumentError(f"The arguments can't be read: {error}.") from None
    return value


def _explained(error: json.JSONDecodeError, text: str) -> str:
    there = json.dumps(text[error.pos : error.pos + 20], ensure_ascii=False)
    found = f"found {there}" if error.pos < len(text.rstrip()) else "the text ends there"
    return f"The arguments are not valid JSON: {error.msg}, line {error.lineno} column {error.colno} ({found})."


def _closed(text: str) -> str:
    """Return `text` with just the brackets and braces at its end that those before them need."""
    head = text.rstrip(_CLOSING)
    open_signs: list[str] = []
    for sign in _signs(head):
        if sign in "{[":
            open_signs.append("]" if sign == "[" else "}")
        elif open_signs and sign == open_signs[-1]:
            open_signs.pop()
    return head + "".join(reversed(open_signs))


def _signs(text: str) -> Iterable[str]:
    """Yield the brackets and braces outside strings."""
    return (match[0] for match in _STRING_OR_SIGN.finditer(text) if match[0] in "{}[]")


def _without_trailing_commas(text: str) -> str:
    return _STRING_OR_SIGN.sub(lambda match: " " if match[0] == "," else match[0], text)


def _without_wrapping(text: str) -> str:
    """Blank out a byte order mark and a code fence, so that every line and column stays what it was."""
    if text.lstrip().startswith("\ufeff"):
        text = text.replace("\ufeff", " ", 1)
    inside = _inside_fence(text)
    if inside is None:
        return text
    start = text.index(inside, text.index("```") + 3) if inside else len(text)
    end = start + len(inside)
    return _blank(text[:start]) + text[start:end] + _blank(text[end:])


_LANGUAGE = re.compile(r"\A\w{0,30}[ \t]{0,9}(?=[\n{\[\"])")
"""Behind a fence on one line with the code, a word is the language only if something else than code follows."""


def _inside_fence(text: str) -> str | None:
    """Return what a code fence around all of `text` holds, None where there is none."""
    stripped = text.strip()
    if len(stripped) < len("``````") or not (stripped.startswith("```") and stripped.endswith("```")):
        return None
    inside = stripped[3:-3]
    language = _LANGUAGE.match(inside)
    inside = inside[language.end() if language else 0 :].lstrip(" \t")
    return inside.removeprefix("\n").rstrip()


def without_fence(text: str) -> str:
    """Return what a code fence around all of `text` holds, else `text`."""
    return _inside_fence(text) or text


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
