"""No regular expression of the program takes long over a text that somebody else has written, however odd."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

import gptoss_acp

LENGTH = 100_000
LONGEST = 0.05
"""Seconds of processor time for 100,000 characters: backtracking takes minutes, so that no slow machine matters."""

HOSTILE = {
    "blanks": " ",
    "tabs": "\t",
    "line breaks": "\n",
    "letters": "a",
    "digits": "1",
    "quotes": '"',
    "backslashes": "\\",
    "escaped quotes": '\\"',
    "backticks": "`",
    "slashes": "/",
    "dots": ".",
    "dashes": "-",
    "stars": "*",
    "braces": "{",
    "commas": ",",
    "equal signs": "=",
    "words": "a ",
    "commands": "cd a;",
    "headers": "to=a ",
    "colons": "a:1",
    "half surrogates": "\udc80",
}
BEFORE = ("", '"', "`", "```", "/", "to=", "<<'", "cd ", "{", "a", "*** ", "@@ -1")


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(gptoss_acp.__path__, "gptoss_acp."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def patterns() -> dict[str, re.Pattern[str]]:
    """Return every compiled pattern of the program's modules that is for texts, by its place."""
    found: dict[str, re.Pattern[str]] = {}
    for module in modules():
        for name, value in vars(module).items():
            values = value if isinstance(value, list | tuple) else (value,)
            flat = [item for part in values for item in (part if isinstance(part, tuple) else (part,))]
            compiled = [item for item in flat if isinstance(item, re.Pattern) and isinstance(item.pattern, str)]
            found |= {f"{module.__name__}.{name}[{index}]": pattern for index, pattern in enumerate(compiled)}
    return found


PATTERNS = patterns()


def test_patterns_are_found() -> None:
    assert len(PATTERNS) > 40


@pytest.mark.parametrize("name", PATTERNS)
def test_no_text_keeps_a_pattern_busy(name: str) -> None:
    pattern = PATTERNS[name]
    for kind, piece in HOSTILE.items():
        for before in BEFORE:
            text = before + piece * (LENGTH // len(piece))
            for use in (pattern.match, pattern.fullmatch, pattern.search, lambda text: pattern.sub("", text)):
                took = processor_time(use, text)
                if took > LONGEST:  # what else runs on the machine costs this time and not the next
                    took = min(took, *(processor_time(use, text) for _ in range(4)))
                assert took < LONGEST, f"{took:.2f} s for {before!r} and {kind}"


def processor_time(use: Callable[[str], object], text: str) -> float:
    began = time.thread_time()
    use(text)
    return time.thread_time() - began
