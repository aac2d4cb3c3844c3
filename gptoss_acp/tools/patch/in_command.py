"""A patch inside a command: gpt-oss calls apply_patch as a program, though there is none.

Knows how such commands are written. Knows nothing about running them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.patch.wrapping import BEGIN, END

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAMS = {"apply_patch", "applypatch"}
_SHELLS = {"bash", "sh", "zsh", "dash"}
_PROGRAM = r"(?:apply_patch|applypatch)"
_CALLED = re.compile(rf"(?:^|[;&|(\n`])[ \t]{{0,100}}(?:(?:sudo|command|exec)[ \t]{{1,9}})?{_PROGRAM}(?=[\s<;|&'\"]|$)")
_CHANGED_FOLDER = re.compile(
    r"\s{0,100}cd[ \t]{1,9}(?:'([^'\n]*)'|\"([^\"\n]*)\"|([^\s;&|]+))[ \t]{0,9}(?:&&|;|\n)\s{0,100}"
)
_HEREDOC = r"<<-?[ \t]{0,9}(?P<mark>['\"]?)(?P<word>\w+)(?P=mark)[ \t]{0,9}"
_OPENINGS = (
    re.compile(rf"{_PROGRAM}[ \t]{{0,9}}{_HEREDOC}\n"),
    re.compile(rf"cat[ \t]{{0,9}}{_HEREDOC}\|[ \t]{{0,9}}{_PROGRAM}[ \t]{{0,9}}\n"),
    re.compile(rf"{_PROGRAM}[ \t]{{1,9}}(?P<quote>['\"])(?:\$\(cat[ \t]{{0,9}}{_HEREDOC}\n)?"),
    re.compile(rf"(?:echo|printf)[ \t]{{1,9}}(?P<quote>['\"])(?=[\s\S]*\|[ \t]{{0,9}}{_PROGRAM}\s*$)"),
    re.compile(rf"(?={re.escape(BEGIN)})"),
)
_REST = re.compile(rf"[\s)'\"]*(?:\w+\s*\)?\s*['\"]?\s*)?(?:\|\s*{_PROGRAM}\s*)?")

HOW = "apply_patch is no program; call repo_browser.apply_patch with the patch alone as its argument"


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
    if os.path.basename(command[0]) in _PROGRAMS:  # noqa: PTH119 (a name, not a file)
        text = max(command[1:], key=len, default="")
        if BEGIN not in text:
            raise ToolError(HOW)
        return CommandPatch(text, folder)
    script = _script(command)
    if script is None or not (_CALLED.search(script) or script.lstrip().startswith(BEGIN)):
        return None
    changed = _CHANGED_FOLDER.match(script)
    inside = os.path.join(folder, next(filter(None, changed.groups()))) if changed else folder  # noqa: PTH118
    rest = script[changed.end() :] if changed else script.lstrip()
    opening = next(filter(None, (opening.match(rest) for opening in _OPENINGS)), None)
    if opening is None or not rest[opening.end() :].lstrip().startswith(BEGIN):
        raise ToolError(HOW)
    text, end, after = rest[opening.end() :].rpartition(f"\n{END}")
    if not end or f"\n{END}" in text or not _is_only_the_end(after, opening):
        raise ToolError(HOW)
    return CommandPatch(_unquoted(f"{text}{end}", opening), inside)


def _script(command: Sequence[str]) -> str | None:
    """Return what a shell is given to run."""
    if os.path.basename(command[0]) not in _SHELLS:  # noqa: PTH119
        return None
    options = [index for index, word in enumerate(command[1:-1], 1) if re.fullmatch(r"-\w{0,10}c", word)]
    return command[options[0] + 1] if options else None


def _is_only_the_end(after: str, opening: re.Match[str]) -> bool:
    """Whether nothing but the end of the heredoc or the quote follows, and what hands it to the program."""
    word = opening.groupdict().get("word")
    return _REST.fullmatch(after) is not None and (word is None or after.split()[:1] in ([word], []))


def _unquoted(text: str, opening: re.Match[str]) -> str:
    """Return what the shell would have made of a text in double quotes; in single ones, and in a heredoc, nothing."""
    groups = opening.groupdict()
    if groups.get("quote") != '"' or groups.get("word"):
        return text
    return re.sub(r"\\([\\\"$`])", r"\1", text)
