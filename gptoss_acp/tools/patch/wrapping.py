"""What gpt-oss puts around a patch, or leaves away: a fence, a heredoc, words before it, its first or last line.

Knows how a patch begins and ends. Knows nothing about what stands in it.
"""

from __future__ import annotations

import re

from gptoss_acp.tools.patch import unified
from gptoss_acp.tools.patch.errors import PatchError

BEGIN = "*** Begin Patch"
END = "*** End Patch"
HEADER = re.compile(r"\*\*\* (?P<kind>Add|Delete|Update) File:(?P<path>.*?)(?: \*\*\*)?")

HEREDOC = r"<<-?[ \t]{0,9}(?P<mark>['\"]?)(?P<word>\w+)(?P=mark)"

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}


def unwrapped(text: str) -> list[str]:
    """Return the lines of a patch from `*** Begin Patch` to `*** End Patch`, whatever surrounds it.

    A unified diff is told in the same words.

    Raises:
        PatchError: there is no patch in it.
    """
    text = _with_line_breaks(text.removeprefix("\ufeff"))
    lines = _unindented([line.removesuffix("\r") for line in text.strip("\r\n").split("\n")])
    begin = _begin(lines)
    inside = _without_end(lines[begin + 1 :], lines[: begin + 1])
    if unified.is_diff(inside):
        inside = unified.as_patch(inside)
    return [BEGIN, *(line for line in inside if not line.startswith(unified.NO_LINE_BREAK)), END]


def _with_line_breaks(text: str) -> str:
    """Return a text whose patch is one line, with the line breaks that it has as escapes."""
    before, begin, patch = text.partition(BEGIN)
    if not begin:
        before, patch = "", text
    if "\\n" not in patch or "\n" in patch.strip():
        return text
    return before + begin + _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[0]), patch)


def _unindented(lines: list[str]) -> list[str]:
    """Leave out the blanks that stand before every line of a patch."""
    begin = next((index for index, line in enumerate(lines) if line.strip().startswith(BEGIN)), len(lines))
    indent = "".join(lines[begin : begin + 1]).partition("*")[0]
    inside = [line for line in lines[begin:] if line.strip()]
    if not indent or not all(line.startswith(indent) or line.strip() == "```" for line in inside):
        return lines
    return lines[:begin] + [line.removeprefix(indent) for line in lines[begin:]]


def _begin(lines: list[str]) -> int:
    """Return the index of `*** Begin Patch`, or the one before the first file's header."""
    for index, line in enumerate(lines):
        if line.strip().startswith(BEGIN):
            return index
    for index, line in enumerate(lines):
        if HEADER.fullmatch(line.strip()) or unified.is_diff(lines[index : index + 2]):
            return index - 1
    raise PatchError(f"there is no patch in it: {BEGIN} is missing, and so is a line such as *** Update File: path")


def _without_end(lines: list[str], before: list[str]) -> list[str]:
    """Return `lines` up to `*** End Patch`, or where that is missing, without what ends a fence or a heredoc."""
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].startswith(END) or (index == len(lines) - 1 and lines[index].strip() == END):
            return lines[:index]
    ends = {"", "```", *(word for line in before for _, word in re.findall(HEREDOC, line))}
    while lines and lines[-1].strip() in ends and lines[-1] != " ":
        lines = lines[:-1]
    return lines
