"""The patch format that gpt-oss was trained on (openai/gpt-oss, gpt_oss/tools/apply_patch.md): text to operations.

Knows the format's lines. Knows nothing about files; `hunks.py` fits an operation's hunks into a file's text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from gptoss_acp.tools.patch import unified
from gptoss_acp.tools.patch.errors import PatchError
from gptoss_acp.tools.patch.wrapping import BEGIN, END, HEADER, unwrapped

_MOVE = "*** Move to:"
_END_OF_FILE = "*** End of File"
_LINE_NUMBERS = re.compile(r"-(\d{1,9})(,\d{1,9})? \+\d{1,9}(,\d{1,9})? @@.*")

Sign = Literal[" ", "-", "+", ""]
"""A line that stays, goes or comes; the empty one stands before a line that stays, whose blank was lost."""

_SIGNS: dict[str, Sign] = {" ": " ", "-": "-", "+": "+"}


@dataclass(slots=True)
class Hunk:
    """One change: lines that stay, go and come.

    `anchors` are the texts behind `@@`, each to be found below the one before it; `line` is the number of the first
    line, where `@@` gives one. `at_end`: the hunk ends where the file ends. `number` counts a file's hunks from 1,
    `patch_line` is where in the patch it stands.
    """

    number: int
    patch_line: int
    anchors: list[str] = field(default_factory=list)
    lines: list[tuple[Sign, str]] = field(default_factory=list)
    line: int | None = None
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
    """Read a patch, or a unified diff, whatever is around it. CRLF line ends do not matter.

    Raises:
        PatchError: it is not in the format, with the number of the line, counted from `*** Begin Patch`.
    """
    operations = _Reader(unwrapped(text)).operations()
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
            if header := HEADER.fullmatch(line.strip()):
                operations.append(self._operation(header["kind"], header["path"].strip()))
            elif line.strip() and not line.startswith((BEGIN, END)):
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
        """Read an added file: every line behind a +, or all of them without."""
        if self._peek().startswith("@@"):
            self._next()
        first = self._at
        added = []
        while not self._at_boundary():
            added.append(self._next())
        while added and added[-1].strip() in {"", _END_OF_FILE}:
            added.pop()
        signed = [line.startswith("+") or not line.strip() for line in added]
        if any(line.startswith("+") for line in added) and not all(signed):
            self._at = first + signed.index(False) + 1
            self._fail("either every line of an added file begins with +, or none does")
        return "".join(f"{line.removeprefix('+') if all(signed) else line}\n" for line in added)

    def _update(self, path: str) -> Operation:
        operation = Operation("update", path)
        if self._peek().strip().startswith(_MOVE):
            operation.move_to = self._next().strip().removeprefix(_MOVE).strip()
            if not operation.move_to:
                self._fail(f"{_MOVE} names no file")
        if unified.is_header(self._lines[self._at : self._at + 3]):
            self._at += 2
        while not self._at_boundary():
            if self._peek().strip() or self._is_context():
                operation.hunks.append(self._hunk(len(operation.hunks) + 1))
        if not operation.hunks and operation.move_to is None:
            self._fail(f"nothing is said about how to change {path}")
        return operation

    def _hunk(self, number: int) -> Hunk:
        hunk = Hunk(number, self._at + 1)
        while self._peek().startswith("@@"):
            anchor = self._next()[2:].strip()
            if numbers := _LINE_NUMBERS.fullmatch(anchor):
                hunk.line = int(numbers[1]) + (numbers[2] == ",0")  # no line: it is behind that one
            elif anchor := anchor.removesuffix("@@").rstrip():
                hunk.anchors.append(anchor)
        while not self._at_boundary() and not self._peek().startswith("@@"):
            line = self._next()
            if line.strip() == _END_OF_FILE:
                hunk.at_end = True
                break
            hunk.lines.append(self._hunk_line(line))
        if not {"-", "+"}.intersection(sign for sign, _ in hunk.lines):
            self._fail(f"hunk {number} changes nothing: lines to remove begin with -, lines to add with +")
        return hunk

    def _hunk_line(self, line: str) -> tuple[Sign, str]:
        if not line:  # a blank line of context, whose one space was lost
            return "", ""
        return (_SIGNS[line[0]], line[1:]) if line[0] in _SIGNS else ("", line)

    def _is_context(self) -> bool:
        """Whether the blank lines here belong to a hunk without `@@`; the space between sections is passed over."""
        first = self._at
        while not self._peek().strip() and not self._at_boundary():
            self._next()
        if is_context := self._peek().startswith((" ", "+", "-")):
            self._at = first
        return is_context

    def _at_boundary(self) -> bool:
        line = self._peek()
        return (
            self._at >= len(self._lines) - 1 or line.startswith((BEGIN, END)) or bool(HEADER.fullmatch(line.rstrip()))
        )

    def _peek(self) -> str:
        return self._lines[self._at]

    def _next(self) -> str:
        self._at += 1
        return self._lines[self._at - 1]

    def _fail(self, problem: str) -> NoReturn:
        raise PatchError(f"line {self._at} of the patch: {problem}; it is `{self._lines[self._at - 1][:200]}`")
