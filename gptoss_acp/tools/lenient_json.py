"""The arguments of a tool call, as the model wrote them: JSON, or nearly.

Knows how gpt-oss gets JSON wrong. Knows nothing about the tools.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_FENCE = re.compile(r"\s*```\w*[ \t]*\n?(?P<inside>.*?)\s*```\s*", re.DOTALL)
_STRING_OR_TRAILING_COMMA = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|,(?=\s*[}\]])', re.DOTALL)
_KINDS = {list: "an array", str: "a string", bool: "a truth value", type(None): "null"}


class ArgumentError(ValueError):
    """The arguments can't be read; the message tells the model where and why."""


def parse_object(text: str) -> dict[str, Any]:
    """Read the arguments of a tool whose schema is an object. No text at all is an empty object.

    A code fence, a byte order mark, trailing commas and line breaks inside strings are read as they are meant.

    Raises:
        ArgumentError: it is no JSON object, at the line and column that the message gives.
    """
    text = _without_wrapping(text)
    if not text.strip():
        return {}
    value = _parse(text)
    if not isinstance(value, dict):
        raise ArgumentError(f"The arguments must be a JSON object, not {_KINDS.get(type(value), 'a number')}.")
    return value


def parse_string(text: str) -> str:
    """Read the argument of a tool whose schema is a string: the text itself, a JSON string, or an object around it."""
    try:
        value = _parse(_without_wrapping(text))
    except ArgumentError:
        value = None
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if isinstance(value, str):
        return value
    fence = _FENCE.fullmatch(text)
    return fence["inside"] if fence else text


def _without_wrapping(text: str) -> str:
    """Blank out a byte order mark and a code fence, so that every line and column stays what it was."""
    if text.lstrip().startswith("\ufeff"):
        text = text.replace("\ufeff", " ", 1)
    if fence := _FENCE.fullmatch(text):
        start, end = fence.span("inside")
        text = _blank(text[:start]) + text[start:end] + _blank(text[end:])
    return text


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _parse(text: str) -> Any:
    text = _STRING_OR_TRAILING_COMMA.sub(lambda match: " " if match[0] == "," else match[0], text)
    try:
        value = json.loads(text, strict=False, parse_constant=_refuse_constant)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        there = json.dumps(text[error.pos : error.pos + 20], ensure_ascii=False)
        found = f"found {there}" if error.pos < len(text.rstrip()) else "the text ends there"
        raise ArgumentError(
            f"The arguments are not valid JSON: {error.msg}, line {error.lineno} column {error.colno} ({found})."
        ) from None
    except UnicodeEncodeError:
        raise ArgumentError("The arguments are not valid JSON: a \\u escape is half of a surrogate pair.") from None
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"The arguments can't be read: {error}.") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
