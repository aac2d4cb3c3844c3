"""A command as gpt-oss writes it, as the words of a program: a line, a list in a string, a list that is a line.

Knows what a shell does with words. Knows nothing about running them.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
import shlex
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGIN_SHELL = ["bash", "-lc"]
"""What runs a line."""

SHELLS = {"bash", "sh", "zsh", "dash"}
RUNS_SCRIPT = re.compile(r"-\w{0,10}c")
"""The options behind which a shell takes a script."""

_JOINS = {"|", "|&", "||", "&&"}
_REDIRECTS = re.compile(r"\d?(?:>{1,2}|<)[\w./-]{0,4000}|\d?>&\d|&>{1,2}[\w./-]{0,4000}")
_NEEDS_QUOTES = re.compile(r"[\s'\"()|;&<>`\\#!]")
_PROGRAM = re.compile(r"[\w./~\[!:][\w./+-]*")

_TAKES_SIGN = {
    "awk": {"-F"},
    "gawk": {"-F"},
    "cut": {"-d", "--delimiter"},
    "paste": {"-d", "--delimiters"},
    "xargs": {"-d", "--delimiter"},
    "sort": {"-t", "--field-separator"},
    "column": {"-s", "-o", "--separator"},
    "grep": {"-e", "--regexp"},
    "rg": {"-e", "--regexp"},
    "sed": {"-e", "--expression"},
    "git": {"-m", "-S", "-G", "--grep", "--message"},
}
"""Options of programs whose value may be such a sign."""

_TAKES_PATTERN = {"grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "sed", "awk", "gawk", "tr"}
"""Programs whose first argument that is no option may be such a sign."""

_COMPARES = {"test", "[", "[[", "expr"}
_ENDS_WITH_SEMICOLON = {"-exec", "-execdir", "-ok", "-okdir"}


def as_words(command: Any) -> Any:
    """Return `command` as the words of a program, a shell's where only that makes sense of it; else as it is."""
    if isinstance(command, str):
        return _of_line(command)
    if not isinstance(command, list):
        return command
    words = [str(word) if isinstance(word, int | float) and not isinstance(word, bool) else word for word in command]
    return _of_list(words) if words and all(isinstance(word, str) for word in words) else words


def runs_script(words: Sequence[str]) -> bool:
    """Whether `words` give one of the system's shells a script to run."""
    return len(words) > 2 and words[0] in SHELLS and bool(RUNS_SCRIPT.fullmatch(words[1]))


def _of_line(line: str) -> Any:
    """Return the words of the list that `line` is, or a shell's that runs it."""
    if line.lstrip().startswith("["):
        for read in (partial(json.loads, strict=False), ast.literal_eval):
            # How deep a list may be, it is the interpreter that says.
            with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                listed = read(line.strip())
                if isinstance(listed, list) and listed and all(isinstance(word, str) for word in listed):
                    return as_words(listed)
    return [*LOGIN_SHELL, line] if line.strip() else line


def _of_list(words: list[str]) -> Any:
    if len(words) == 1:
        return _of_line(words[0]) if _is_line(words[0]) else words
    if runs_script(words):
        return [*words[:2], _joined(words[2:], script=True)] if _signs(words[2:]) else words
    if not _is_line(words[0]):
        return [*LOGIN_SHELL, _joined(words)] if _signs(words) else words
    all_lines = all(map(_is_line, words))
    if not all_lines and _signs(words):
        return [*LOGIN_SHELL, _joined(words, script=True)]
    return [*LOGIN_SHELL, "\n".join(words) if all_lines else " ".join([words[0], *map(_quoted, words[1:])])]


def _is_line(word: str) -> bool:
    """Whether a word that should name a program is a line, or a list in a string."""
    return len(word.split()) > 1 and not word.startswith(("/", "./"))


def _signs(words: Sequence[str]) -> set[int]:
    """Return which of `words` only a shell makes sense of: what joins two commands, or redirects one."""
    signs = set()
    program, wants_pattern, in_exec = "", False, False
    for index, (word, following) in enumerate(zip(words, [*words[1:], ""], strict=True)):
        if not program:
            program = word.rpartition("/")[2]
            wants_pattern = program in _TAKES_PATTERN
        elif words[index - 1] in _TAKES_SIGN.get(program, ()):
            wants_pattern = False
        elif wants_pattern:
            wants_pattern = word.startswith("-")
        elif word in {";", "&"} or (word in _JOINS and _PROGRAM.fullmatch(following)):
            if not in_exec:
                signs.add(index)
                program = ""
            in_exec = in_exec and word != ";"
        elif word in _ENDS_WITH_SEMICOLON:
            in_exec = True
        elif (
            program not in _COMPARES
            and _REDIRECTS.fullmatch(word)
            and (word[-1] not in "<>" or following.strip("|&;<>"))
        ):
            signs.add(index)
    return signs


def _joined(words: Sequence[str], *, script: bool = False) -> str:
    signs = _signs(words)
    return " ".join(
        word if index in signs or (script and index == 0) else _quoted(word) for index, word in enumerate(words)
    )


def _quoted(word: str) -> str:
    """Quote what would be no word of its own; patterns and variables are the shell's."""
    return shlex.quote(word) if not word or _NEEDS_QUOTES.search(word) else word
