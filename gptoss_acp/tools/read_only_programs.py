"""Commands that only read, known by every one of their words: what "always" may stand for where nothing confines them.

A word that no row names makes a command an ordinary one. Knows programs' options. Knows nothing about permission.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gptoss_acp.tools.command_words import runs_script

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLAIN_SCRIPT = re.compile(r"[\w./:=@%+,\- ]{1,4000}")
"""A line that means the same to a shell and to us."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A program, its first arguments, and the options that read; behind them it may name what is below its folder."""

    words: tuple[str, ...]
    options: re.Pattern[str]
    operands: bool = True


def _row(words: str, options: str, *, operands: bool = True) -> _Row:
    return _Row(tuple(words.split()), re.compile(options), operands)


_WORD = re.compile(r"[\w./:=@%+,*?^~{}\-]{1,4000}")
"""A word that nothing becomes of in a terminal that joins the words for a shell."""

_SHOWING = (
    r"--(?:oneline|stat|shortstat|numstat|summary|name-only|name-status|graph|decorate|all|patch|no-patch|follow|reverse"
    r"|cached|staged|merges|no-merges|first-parent|abbrev-commit|check|word-diff|no-color|no-ext-diff|no-textconv"
    r"|ignore-all-space|ignore-space-change)|--(?:max-count|skip|unified|since|until|author|grep|pretty|format)=[^\s]{1,200}"
    r"|-(?:p|s|w|b|n|\d{1,6}|n\d{1,6}|U\d{1,4})"
)
_ROWS = (
    _row("git status", r"-[sbvu]{1,4}|-u(?:no|normal|all)|--(?:short|branch|long|ignored|porcelain(?:=v[12])?)"),
    _row("git log", _SHOWING),
    _row("git show", _SHOWING),
    _row("git diff", _SHOWING),
    _row("git branch --list", r"-[arv]{1,3}|-vv|--(?:all|remotes|verbose|no-color)"),
    _row("git branch --show-current", r"(?!)", operands=False),
    _row("ls", r"-[1AaCFGghilLnpRrSstUuxX]{1,12}|--(?:all|almost-all|human-readable|recursive|reverse|size)"),
    _row(
        "rg",
        r"-[ciFHILlNnoPSsUuvwx]{1,6}|-[ABCm]\d{0,4}|--(?:files|hidden|no-ignore|ignore-case|smart-case|fixed-strings"
        r"|word-regexp|line-number|count|count-matches|files-with-matches|files-without-match|multiline|no-heading"
        r"|sort=path|stats)|--(?:glob|type|max-count|context)=[^\s]{1,200}",
    ),
    _row("pwd", r"-[LP]", operands=False),
)


def reads_only(command: Sequence[str], cwd: Path) -> tuple[str, ...] | None:
    """Return the program and arguments that stand for all that `command` may do, None where it may do more than read.

    `command` is judged word by word. What it names must be below the folder `cwd`, in which it is run.
    """
    words = _words(command)
    for row in _ROWS:
        if tuple(words[: len(row.words)]) == row.words and _all_read(row, words[len(row.words) :], cwd):
            return row.words
    return None


def _words(command: Sequence[str]) -> list[str]:
    if len(command) == 3 and runs_script(command) and _PLAIN_SCRIPT.fullmatch(command[2]):
        return shlex.split(command[2])
    return list(command)


def _all_read(row: _Row, words: Sequence[str], cwd: Path) -> bool:
    return all(map(_WORD.fullmatch, words)) and all(
        row.options.fullmatch(word) if word.startswith("-") and word != "--" else row.operands and _is_below(cwd, word)
        for word in words
    )


def _is_below(cwd: Path, word: str) -> bool:
    if "\0" in word or word.startswith("~") or Path(word).is_absolute() or ".." in Path(word).parts:
        return False
    return Path(os.path.realpath(cwd / word)).is_relative_to(cwd)
