"""The patch format that gpt-oss was trained on (openai/gpt-oss, gpt_oss/tools/apply_patch.md): text to operations.

Knows the format's lines. Knows nothing about files; `hunks.py` fits an operation's hunks into a file's text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from gptoss_acp.errors import ToolError

_BEGIN = "*** Begin Patch"
_END = "*** End Patch"
_HEADER = re.compile(r"\*\*\* (Add|Delete|Update) File:(.*)")
_MOVE = "*** Move to:"
_END_OF_FILE = "*** End of File"
_LINE_NUMBERS = re.compile(r"-\d+(,\d+)? \+\d+(,\d+)? @@.*")

Sign = Literal[" ", "-", "+"]
_SIGNS: dict[str, Sign] = {" ": " ", "-": "-", "+": "+"}


class PatchError(ToolError):
    """The patch can't be read, or does not fit; the message tells the model where and why."""


@dataclass(slots=True)
class Hunk:
    """One change: lines that stay (" "), go ("-") and come ("+").

    `anchors` are the texts behind `@@`, each to be found below the one before it. `at_end`: the hunk ends where the
    file ends. `number` counts a file's hunks from 1, `patch_line` is where in the patch it stands.
    """

    number: int
    patch_line: int
    anchors: list[str] = field(default_factory=list)
    lines: list[tuple[Sign, str]] = field(default_factory=list)
    at_end: bool = False


@dataclass(slots=True)
class Operation:
    """What a patch does to one file. `content` is that of an added file, `hunks` are those of an updated one."""

    kind: Literal["add", "delete", "update"]
    path: str
    move_to: str | None = None
    content: str = ""
    hunks: list[Hunk] = field(default_factory=list)


def parse(text: str) -> list[Operation]:
    """Read a patch. Blank lines and a code fence around it do not matter, and neither do CRLF line ends.

    Raises:
        PatchError: it is not in the format, with the number of the line, counted from `*** Begin Patch`.
    """
    lines = [line.removesuffix("\r") for line in text.strip().removeprefix("\ufeff").split("\n")]
    if lines[0].startswith("```") and lines[-1].startswith("```"):
        lines = "\n".join(lines[1:-1]).strip("\n").split("\n")
    if lines[0].strip() != _BEGIN:
        raise PatchError(f"the patch must begin with {_BEGIN}")
    if lines[-1].strip() != _END:
        raise PatchError(f"the patch must end with {_END}")
    operations = _Reader(lines).operations()
    if not operations:
        raise PatchError("the patch is empty: it names no file")
    return operations


class _Reader:
    """A place in the lines of a patch."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 1

    def operations(self) -> list[Operation]:
        operations = []
        while self._at < len(self._lines) - 1:
            line = self._next()
            if header := _HEADER.fullmatch(line.strip()):
                operations.append(self._operation(header[1], header[2].strip()))
            elif line.strip():
                self._fail("a file's header is expected, such as *** Update File: path")
        return operations

    def _operation(self, kind: str, path: str) -> Operation:
        if not path:
            self._fail("the header names no file")
        if kind == "Add":
            return Operation("add", path, content=self._content())
        if kind == "Delete":
            return Operation("delete", path)
        return self._update(path)

    def _content(self) -> str:
        added = []
        while self._peek().startswith("+"):
            added.append(self._next()[1:] + "\n")
        if not self._at_boundary() and self._peek().strip():
            self._next()
            self._fail("every line of an added file begins with +")
        return "".join(added)

    def _update(self, path: str) -> Operation:
        operation = Operation("update", path)
        if self._peek().strip().startswith(_MOVE):
            operation.move_to = self._next().strip().removeprefix(_MOVE).strip()
            if not operation.move_to:
                self._fail(f"{_MOVE} names no file")
        while not self._at_boundary():
            if self._peek().strip() or self._is_context():
                operation.hunks.append(self._hunk(len(operation.hunks) + 1))
            else:
                self._next()
        if not operation.hunks and operation.move_to is None:
            self._fail(f"nothing is said about how to change {path}")
        return operation

    def _hunk(self, number: int) -> Hunk:
        hunk = Hunk(number, self._at + 1)
        while self._peek().startswith("@@"):
            anchor = self._next()[2:].strip()
            if anchor and not _LINE_NUMBERS.fullmatch(anchor):
                hunk.anchors.append(anchor)
        while not self._at_boundary() and not self._peek().startswith("@@"):
            line = self._next()
            if line.strip() == _END_OF_FILE:
                hunk.at_end = True
                break
            hunk.lines.append(self._hunk_line(line))
        if all(sign == " " for sign, _ in hunk.lines):
            self._fail(f"hunk {number} changes nothing: lines to remove begin with -, lines to add with +")
        return hunk

    def _hunk_line(self, line: str) -> tuple[Sign, str]:
        if not line:  # a blank line of context, whose one space was lost
            return " ", ""
        if line[0] not in _SIGNS:
            self._fail("a line of a hunk begins with a space, + or -")
        return _SIGNS[line[0]], line[1:]

    def _is_context(self) -> bool:
        """Whether a blank line here belongs to a hunk without `@@`, not to the space between sections."""
        following = next((line for line in self._lines[self._at :] if line.strip()), _END)
        return following[0] in " +-"

    def _at_boundary(self) -> bool:
        return self._at >= len(self._lines) - 1 or _HEADER.fullmatch(self._peek().rstrip()) is not None

    def _peek(self) -> str:
        return self._lines[self._at]

    def _next(self) -> str:
        self._at += 1
        return self._lines[self._at - 1]

    def _fail(self, problem: str) -> NoReturn:
        raise PatchError(f"line {self._at} of the patch: {problem}; it is `{self._lines[self._at - 1][:200]}`")
