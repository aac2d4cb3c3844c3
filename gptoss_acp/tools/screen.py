"""What a program writes to a terminal, as it stands there at the end: colours gone, what was written over not shown.

Of ECMA-48 and xterm's control sequences it follows those that move the cursor and erase. A screen without a width or a
height, for nothing is wrapped where the text is read. Knows nothing about commands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 100
"""How far up a program can still write; what is above is done with."""

LONGEST_ROW = 8_192
"""Characters of a row that can still be written over, so that no sequence of them takes long."""

_LONGEST_SEQUENCE = 4_096
"""Letters of a sequence whose end is waited for."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs, which are text here, and line feeds
_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|[ -/]+[0-~]|[0-Z\\^-~])"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
"""A whole control sequence, control string or escape sequence."""

_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c]*\x1b?|[ -/]*)|\x9b[0-?]*[ -/]*")


class Screen:
    """A terminal's screen; `done` gets what has scrolled away, in pieces that end nowhere in particular."""

    def __init__(self, done: Callable[[str], None]) -> None:
        self._done = done
        self._clear()
        self._saved = (0, 0)
        self._rest = ""

    def add(self, text: str) -> None:
        """Write text, of which a control sequence may be cut off; what it needs to be whole comes with the next."""
        text, self._rest = (self._rest + text).replace("\r\n", "\n"), ""
        at = 0
        while control := _CONTROL.search(text, at):
            self._write_lines(text[at : control.start()])
            at = self._obey(text, control.start())
            if self._rest:
                return
        self._write_lines(text[at:])

    def __str__(self) -> str:
        """What has not scrolled away."""
        return "\n".join(row.rstrip(" ") if row.isspace() else row for row in self._rows)

    def _obey(self, text: str, at: int) -> int:
        """Do what is asked at a place of the text; return where that ends."""
        letter = text[at]
        if letter in "\x1b\x9b":
            if sequence := _SEQUENCE.match(text, at):
                self._obey_sequence(sequence[0])
                return sequence.end()
            if len(text) - at < _LONGEST_SEQUENCE and _BEGUN.fullmatch(text, at):
                self._rest = text[at:]
            return at + 1
        if letter == "\r":
            self._column = 0
        elif letter in "\v\f\x85":
            self._feed()
        elif letter == "\b":
            self._column = max(0, self._column - 1)
        return at + 1

    def _clear(self) -> None:
        self._rows, self._row, self._column = [""], 0, 0

    def _write_lines(self, text: str) -> None:
        while text:
            if self._row == len(self._rows) - 1 and self._column == len(self._rows[-1]):
                self._append(text)
                return
            line, feed, text = text.partition("\n")
            self._write(line)
            if feed:
                self._feed()

    def _append(self, text: str) -> None:
        """Write lines behind all that there is, as nearly all are."""
        first, *others = text.split("\n")
        self._rows[-1] += first
        self._rows += others
        self._scroll(len(self._rows) - ROWS)
        self._row, self._column = len(self._rows) - 1, len(self._rows[-1])
        if self._column > LONGEST_ROW:
            self._let_go()

    def _write(self, text: str) -> None:
        if not text:
            return
        row, column = self._rows[self._row], self._column
        if column > len(row):
            row = row.ljust(column)
        self._rows[self._row] = row[:column] + text + row[column + len(text) :]
        self._column += len(text)
        if self._column > LONGEST_ROW:
            self._let_go()

    def _let_go(self) -> None:
        """Be done with all above the cursor and before it."""
        self._scroll(self._row)
        self._done(self._rows[0][: self._column])
        self._rows[0], self._column = self._rows[0][self._column :], 0

    def _feed(self) -> None:
        # As a terminal's driver does, which puts a carriage return in front.
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._rows):
            self._rows.append("")
        self._scroll(len(self._rows) - ROWS)

    def _scroll(self, rows: int) -> None:
        if rows > 0:
            self._done("\n".join([*self._rows[:rows], ""]))
            del self._rows[:rows]
            self._row -= rows

    def _obey_sequence(self, sequence: str) -> None:
        if sequence.startswith(("\x1b[", "\x9b")):
            body = sequence.lstrip("\x1b[\x9b")
            first, _, second = body[:-1].lstrip("?>=<").partition(";")
            self._obey_control(sequence[-1], _number(first), _number(second), private=body.startswith("?"))
        elif sequence == "\x1b7":
            self._saved = self._row, self._column
        elif sequence == "\x1b8":
            self._move(*self._saved)
        elif sequence == "\x1bM":
            self._move(self._row - 1, self._column)
        elif sequence in {"\x1bD", "\x1bE"}:
            self._feed()
        elif sequence == "\x1bc":
            self._clear()

    def _obey_control(self, final: str, first: int, second: int, *, private: bool) -> None:
        place = self._row, self._column
        count = max(1, first)
        if private and final in "hl":
            if first in {47, 1047, 1049}:  # another screen, or back
                self._clear()
        elif final == "s":
            self._saved = place
        elif final == "u":
            self._move(*self._saved)
        elif moved := _moved(final, place, count, max(1, second)):
            self._move(*moved)
        elif final in "JLM":
            self._change_rows(final, first, count)
        elif final in "KPX@":
            self._rows[self._row] = _changed(self._rows[self._row], self._column, final, first, count)

    def _move(self, row: int, column: int) -> None:
        self._row = max(0, min(row, ROWS - 1))
        self._column = max(0, min(column, LONGEST_ROW))
        while len(self._rows) <= self._row:
            self._rows.append("")

    def _change_rows(self, final: str, kind: int, count: int) -> None:
        row = self._row
        match final, kind:
            case "J", 0:
                self._rows[row:] = [self._rows[row][: self._column]]
            case "J", 1:
                self._rows[: row + 1] = [*[""] * row, _changed(self._rows[row], self._column, "K", 1, 1)]
            case "J", _:
                self._rows = [""] * (row + 1)
            case "L", _:
                self._rows[row:row] = [""] * min(count, ROWS)
                del self._rows[ROWS:]
            case "M", _:
                del self._rows[row : row + count]
                self._rows += [""] * (row + 1 - len(self._rows))


def _moved(final: str, place: tuple[int, int], count: int, second: int) -> tuple[int, int] | None:
    """Return where a sequence moves the cursor, None where it is about something else."""
    row, column = place
    return {
        "A": (row - count, column),
        "B": (row + count, column),
        "C": (row, column + count),
        "D": (row, column - count),
        "E": (row + count, 0),
        "F": (row - count, 0),
        "G": (row, count - 1),
        "H": (count - 1, second - 1),
        "a": (row, column + count),
        "d": (count - 1, column),
        "f": (count - 1, second - 1),
        "`": (row, count - 1),
    }.get(final)


def _changed(row: str, column: int, final: str, kind: int, count: int) -> str:
    """Return what a sequence that erases, deletes or inserts makes of the cursor's row."""
    match final, kind:
        case "K", 0:
            return row[:column]
        case "K", 1:
            return " " * min(column + 1, len(row)) + row[column + 1 :]
        case "K", _:
            return ""
        case "P", _:
            return row[:column] + row[column + count :]
        case "X", _:
            return row[:column] + " " * len(row[column : column + count]) + row[column + count :]
    inserted = row[:column] + " " * min(count, LONGEST_ROW) + row[column:]
    return inserted[: max(len(row), LONGEST_ROW)]


def _number(text: str) -> int:
    digits = text[:6]
    return int(digits) if digits.isdecimal() and digits.isascii() else 0
