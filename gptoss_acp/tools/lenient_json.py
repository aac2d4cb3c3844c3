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

_CLOSING = "]} \t\r\n"
_KINDS = {list: "an array", str: "a string", bool: "a truth value", type(None): "null"}
_MOST_WRAPPINGS = 3


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)


class ArgumentError(ValueError):
    """The arguments can't be read; the message tells the model where and why."""


def read_object(text: str, notes: list[str]) -> dict[str, Any]:
    """Read the arguments of a tool whose schema is an object. No text at all is an empty object.

    A code fence, a byte order mark, trailing commas, line breaks inside strings, a bracket or brace too many or too few
    at the end, text around the object, an array around it and a string around it are read as they are meant. What is
    left out is said in `notes`.

    Raises:
        ArgumentError: it is no JSON object, at the line and column that the message gives.
    """
    text = _without_wrapping(text)
    if not text.strip():
        return {}
    value = _unwrapped(_read_value(text, notes))
    if not isinstance(value, dict):
        raise ArgumentError(f"The arguments must be a JSON object, not {_KINDS.get(type(value), 'a number')}.")
    return value


def read_text(text: str, names: Sequence[str]) -> str:
    """Read the argument of a tool that takes one text: the text itself, a JSON string, or one of an object.

    The object's argument is the first of `names` that it has, else its only text; of a list it is the longest text.
    """
    try:
        value = _unwrapped(_read_value(_without_wrapping(text), []), most=1)
    except ArgumentError:
        value = None
    if isinstance(value, dict):
        named = [value[name] for name in names if isinstance(value.get(name), str | list)]
        value = named[0] if named else next(iter(value.values())) if len(value) == 1 else None
    if isinstance(value, list):
        value = max((item for item in value if isinstance(item, str)), key=len, default=None)
    return value if isinstance(value, str) else _inside_fence(text) or text


def _read_value(text: str, notes: list[str]) -> Any:
    """Return the value that `text` is, or else the object that stands in it."""
    text = _without_trailing_commas(text)
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        problem = error
    start = text.find("{")
    for candidate in (text, text[start:] if start > 0 else "", _closed(text)):
        if candidate.lstrip().startswith(("{", "[", '"')):
            try:
                value, end = _DECODER.raw_decode(candidate, len(candidate) - len(candidate.lstrip()))
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict | list):
                if _holds_object(candidate[end:]):
                    notes.append(SECOND_CALL)
                return _checked(value)
    raise ArgumentError(_explained(problem, text))


def _decode(text: str) -> Any:
    try:
        return _checked(json.loads(text, strict=False, parse_constant=_refuse_constant))
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


def _unwrapped(value: Any, most: int = _MOST_WRAPPINGS) -> Any:
    """Return the object that is the only item of an array, or is written in a string."""
    for _ in range(most):
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            value = value[0]
        elif isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = _decode(_without_trailing_commas(value))
            except (json.JSONDecodeError, ArgumentError):
                break
        else:
            break
    return value


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


def _holds_object(rest: str) -> bool:
    start = rest.find("{")
    if start < 0:
        return False
    try:
        return isinstance(_DECODER.raw_decode(rest, start)[0], dict)
    except (ValueError, RecursionError):
        return False


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


def _inside_fence(text: str) -> str | None:
    """Return what a code fence around all of `text` holds, None where there is none."""
    stripped = text.strip()
    if len(stripped) < len("``````") or not (stripped.startswith("```") and stripped.endswith("```")):
        return None
    inside = stripped[3:-3]
    language = re.match(r"\w*", inside)
    inside = inside[language.end() if language else 0 :].lstrip(" \t")
    return inside.removeprefix("\n").rstrip()


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
