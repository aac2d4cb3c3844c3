"""A patch inside a command: gpt-oss calls apply_patch as a program, though there is none.

Knows how such commands are written. Knows nothing about running them. All of it takes time linear in the command.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import dropwhile
from typing import TYPE_CHECKING

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.command_words import RUNS_SCRIPT, SHELLS
from gptoss_acp.tools.patch.wrapping import BEGIN, END, HEREDOC

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PROGRAMS = {"apply_patch", "applypatch"}
_AROUND = {"sudo", "env", "command", "exec", "nohup", "time", "timeout", "nice"}
_OF_THOSE_AROUND = re.compile(r"\A(?:-\S{0,100}|\d+[smh]?|\w+=.*)", re.DOTALL)

_PROGRAM = r"(?:[\w.~/-]{0,200}/)?(?:apply_patch|applypatch)"
_STARTS_COMMAND = (
    r"(?:^|[;&|({`]|\b(?:ba|z|da)?sh[ \t]{1,9}-\w{0,9}c[ \t]{1,9}['\"])[ \t]{0,100}"
    r"(?:(?:then|do|else|!|xargs|sudo|env|command|exec|nohup|time|[A-Za-z_]\w{0,50}=[^\s;&|]{0,100})[ \t]{1,9}){0,5}"
)
_CALLS = re.compile(rf"{_STARTS_COMMAND}(?:{_PROGRAM}(?=[\s<;|&'\")`]|$)|{re.escape(BEGIN)})", re.MULTILINE)

_FOLDER = r"(?:'(?P<single>[^'\n]*+)'|\"(?P<double>[^\"\n]*+)\"|(?P<bare>[^\s;&|'\"]++))"
_BEFORE = re.compile(
    r"\A\s*+(?:set[ \t]{1,9}[-+]\w{1,9}(?:[ \t]{1,9}pipefail)?[ \t]{0,9}(?:;|\n|&&)\s*+)?"
    rf"\(?\s*+(?:cd[ \t]{{1,9}}{_FOLDER}[ \t]{{0,9}}(?:&&|;|\n)\s*+)?"
)
_OPENINGS = (
    re.compile(rf"\A{_PROGRAM}[ \t]{{0,9}}{HEREDOC}[ \t]{{0,9}}\n"),
    re.compile(rf"cat[ \t]{{0,9}}{HEREDOC}[ \t]{{0,9}}\|[ \t]{{0,9}}{_PROGRAM}[ \t]{{0,9}}\n"),
    re.compile(rf"\A{_PROGRAM}[ \t]{{1,9}}(?P<quote>['\"])(?:\$\(cat[ \t]{{0,9}}{HEREDOC}[ \t]{{0,9}}\n)?"),
    re.compile(
        r"(?P<piped>echo|printf)[ \t]{1,9}(?:-[neE]{1,3}[ \t]{1,9}|['\"]%[sb](?:\\n)?['\"][ \t]{1,9})?(?P<quote>['\"])"
    ),
    re.compile(rf"(?={re.escape(BEGIN)})"),
)
_LAST_LINE = re.compile(rf"^{re.escape(END)}(?: \*\*\*)?", re.MULTILINE)
_CHANGES_FOLDER = re.compile(r"(?:^|[;&|(])[ \t]{0,9}cd[ \t][^\n]{1,1000}(?:&&|;|\n)", re.MULTILINE)
_EXPANDED = re.compile(r"[$`*?{]")

HOW = "apply_patch is no program; call repo_browser.apply_patch with the patch alone as its argument"
AND_THE_REST = f"{HOW}, and run what else the command does by itself"


@dataclass(frozen=True, slots=True)
class CommandPatch:
    """The patch that a command is, and the folder that its paths are relative to."""

    text: str
    folder: str


def patch_in(command: Sequence[str], folder: str) -> CommandPatch | None:
    """Return the patch that `command` applies in `folder` and does nothing besides, None where it applies none.

    Raises:
        ToolError: it applies one and does more, or takes it from elsewhere; the message says how to do it.
    """
    words = list(dropwhile(lambda word: word in _AROUND or _OF_THOSE_AROUND.fullmatch(word), command))
    if words and os.path.basename(words[0]) in _PROGRAMS:  # noqa: PTH119 (a name, not a file)
        text = max(words[1:], key=len, default="")
        if BEGIN not in text:
            raise ToolError(HOW)
        return CommandPatch(text, folder)
    script = _script(words)
    if script is None or not _CALLS.search("\n".join(_without_heredocs(script))):
        return None
    patch = _alone(script, folder)
    if patch is None:
        raise ToolError(AND_THE_REST if BEGIN in script else HOW)
    return patch


def patch_in_text(text: str) -> CommandPatch | None:
    """Return the patch that `text` is as a command, None where it is no command.

    Raises:
        ToolError: it is one that does more, or in a folder that only a shell would know.
    """
    patch = _alone(text, "")
    if patch is None and _CHANGES_FOLDER.search(text.partition(BEGIN)[0]):
        raise ToolError(AND_THE_REST)
    return patch


def _script(words: Sequence[str]) -> str | None:
    """Return what a shell is given to run, or would be, were the lines of a patch no words."""
    if words and words[0].lstrip().startswith(BEGIN):
        return "\n".join(words)
    if not words or os.path.basename(words[0]) not in SHELLS:  # noqa: PTH119
        return None
    options = [index for index, word in enumerate(words[1:-1], 1) if RUNS_SCRIPT.fullmatch(word)]
    return words[options[0] + 1] if options else None


def _without_heredocs(script: str) -> Iterator[str]:
    """Yield the lines of `script` that a shell carries out, not those that it hands to a program."""
    end = None
    for line in script.split("\n"):
        if end is None:
            yield line
            heredoc = re.search(HEREDOC, line)
            end = heredoc["word"] if heredoc else None
        elif line.strip("\t\r ") == end:
            end = None


def _alone(script: str, folder: str) -> CommandPatch | None:
    """Return the patch that is all of `script`, but for the folder that it changes to."""
    before = _BEFORE.match(script)
    assert before is not None
    rest = script[before.end() :]
    opening = next(filter(None, (opening.match(rest) for opening in _OPENINGS)), None)
    folder_given = before["single"] or before["double"] or before["bare"]
    if opening is None or (folder_given and _EXPANDED.search(folder_given)):
        return None
    split = _split(rest[opening.end() :].lstrip(), opening.groupdict())
    if split is None or not _is_only_the_end(split[1], opening.groupdict()):
        return None
    if folder_given:
        folder = folder_given if folder_given.startswith("~") else os.path.join(folder, folder_given)  # noqa: PTH118
    return CommandPatch(_unquoted(split[0], opening.groupdict()), folder)


def _split(text: str, opening: dict[str, str | None]) -> tuple[str, str] | None:
    """Split what begins with a patch behind it; a heredoc's end also ends a patch that has no last line."""
    if not text.startswith(BEGIN):
        return None
    ends = list(_LAST_LINE.finditer(text))
    if len(ends) == 1:
        return text[: ends[0].end()], text[ends[0].end() :]
    word = opening.get("word")
    if ends or word is None:
        return None
    patch, end, after = text.partition(f"\n{word}\n") if f"\n{word}\n" in text else text.rpartition(f"\n{word}")
    return (patch, after) if end else None


def _is_only_the_end(after: str, opening: dict[str, str | None]) -> bool:
    """Whether nothing but the end of the heredoc or the quote follows, and what hands it to the program."""
    words = re.sub(r"[)'\"]", " ", after.replace("|", " | ")).split()
    if opening.get("word") and words[:1] == [opening["word"]]:
        words = words[1:]
    if opening.get("piped"):
        return len(words) == 2 and words[0] == "|" and words[1] in _PROGRAMS
    return not words


def _unquoted(text: str, opening: dict[str, str | None]) -> str:
    """Return what a shell would have made of a quoted text; in a heredoc, nothing."""
    if opening.get("word") or not opening.get("quote"):
        return text
    if opening["quote"] == "'":
        return text.replace("'\\''", "'").replace("'\"'\"'", "'")
    return re.sub(r"\\([\\\"$`])", r"\1", text)
