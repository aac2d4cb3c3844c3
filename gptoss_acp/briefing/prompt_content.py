"""What the user has sent with a prompt, as the text that the model reads.

The user's words stay in order, with links among them where they mention something; the content of linked and embedded
files comes after them. A link is read only where it leads into the session's roots, whatever the mode. Knows ACP's
content blocks. Knows nothing about sessions or tokens.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from gptoss_acp.errors import ToolError
from gptoss_acp.rpc import INVALID_PARAMS, RpcError
from gptoss_acp.text import LONGEST_RESULT, code_span, fenced
from gptoss_acp.tools import print_tree
from gptoss_acp.workspace import paths
from gptoss_acp.workspace.encodings import UTF_8

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gptoss_acp.workspace.paths import Roots
    from gptoss_acp.workspace.workspace import Workspace

LONGEST_ATTACHED = 60_000
"""Characters of all that a prompt's links lead to; about 15,000 tokens."""

_LEAST_ATTACHED = 1_000

# As editors write them: L10, L10-20, L10-L20, L10:20, and with columns L10,5-L20,3 or L10C5-L20C3.
_LINES = re.compile(r"L?(\d{1,9})(?:[,C]\d+)?(?:[-:]L?(\d{1,9})(?:[,C]\d+)?)?")
_TAG = re.compile(r"\s{0,9}<([\w-]{1,40})(?:\s[^<>]{0,200})?>")
_LAST_TAG = re.compile(r"</([\w-]{1,40})>\Z")
_LONGEST_TAG = 50
_NO_SPACE_AFTER = re.compile(r"[\s(\[{<\"'`]\Z")
_NO_SPACE_BEFORE = re.compile(r"[\s)\]}>\"'`.,;:!?]")


def text(blocks: Sequence[Any], roots: Roots) -> str:
    """Return the user's words, with Markdown links in the places where they mention something.

    Raises:
        RpcError: a block is of a kind that the agent has not declared (`promptCapabilities`).
    """
    said, last = "", None
    for index, block in enumerate(blocks):
        piece = str(block.text) if block.type == "text" else _link(block, index, roots)
        said += _joint(said, piece, both_text=last == block.type == "text") + piece
        last = block.type if piece else last
    return said


def own_words(blocks: Sequence[Any], roots: Roots) -> str:
    """Return what the user has typed of a prompt, without the notes that editors add.

    Those are texts of their own, or in a tag, before or behind the user's; or they say that they are for the model.
    """
    runs: list[list[Any]] = []
    for block in blocks:
        if getattr(getattr(block, "annotations", None), "audience", None) == ["assistant"]:
            continue
        if not runs or (block.type == "text" and runs[-1][-1].type == "text"):
            runs.append([])
        runs[-1].append(block)
    said = [own for run in runs if (own := _without_notes(text(run, roots)))]
    command = next((own for own in said if own.startswith("/")), None)
    return command or (said[-1] if said else "")


def _without_notes(said: str) -> str:
    said = said.strip().removeprefix("\ufeff")
    while (tag := _TAG.match(said)) and (end := _end_of(said, tag[1])) > 0:
        said = said[end:].strip()
    while (last := _LAST_TAG.search(said[-_LONGEST_TAG:])) and (start := said.rfind(f"\n<{last[1]}")) > 0:
        said = said[:start].strip()
    return said


def _end_of(said: str, name: str) -> int:
    """Return where the tag ends with which a text begins, with those of the same name in it; 0 where it does not."""
    depth = 0
    for tag in re.finditer(rf"<(/?){re.escape(name)}[\s>]", said):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return tag.end()
    return 0


async def attached(blocks: Sequence[Any], workspace: Workspace, tell: Callable[[str], None]) -> str:
    """Return what stands behind the links of a prompt, to come after its text.

    Links that can't be read stay links; `tell` gets a sentence about each, for the user.
    """
    room = LONGEST_ATTACHED
    parts: dict[str, str] = {}
    for block in blocks:
        if block.type == "text":
            continue
        uri = _uri(block)
        place = _Place.of(uri, workspace.roots)
        name = place.name if place else uri
        if block.type == "resource":
            parts[name] = parts.get(name, "") + _fenced(name, block.resource.text)
        elif place is None:
            if uri.startswith("file:") or ":" not in uri:
                tell(f"{code_span(block.name)} is not attached: it is not in the session's folders.")
        elif name not in parts:
            if room < _LEAST_ATTACHED:
                tell(f"{code_span(name)} is not attached: there is no room for more.")
                continue
            try:
                content = await place.read(workspace, min(room, LONGEST_RESULT))
            except ToolError as error:
                tell(f"{code_span(name)} is not attached: {error}.")
                continue
            room -= len(content)
            parts[name] = content
    return "".join(parts.values())


@dataclass(frozen=True, slots=True)
class _Place:
    """A file or folder in the session's roots, and which lines of it, from 1, if not all."""

    real: Path
    shown: str
    lines: tuple[int, int] | None

    @classmethod
    def of(cls, uri: str, roots: Roots) -> _Place | None:
        """Return the place that a URI leads to, or None if it leads out of the roots or to no file."""
        try:
            parts = urlsplit(uri)
            real = roots.resolve(unquote(parts.path))
            lines = _LINES.fullmatch(parts.fragment)
            if parts.fragment and not lines and not real.exists():  # a name with an unescaped #
                real = roots.resolve(unquote(f"{parts.path}#{parts.fragment}"))
        except (ValueError, ToolError, OSError):
            return None
        is_file = parts.scheme in {"", "file"} and parts.netloc in {"", "localhost"} and parts.path
        if not is_file or not roots.contain(real):
            return None
        if lines is None:
            return cls(real, roots.shown(real), None)
        first, last = sorted((int(lines[1]), int(lines[2] or lines[1])))
        return cls(real, roots.shown(real), (max(1, first), max(1, last)))

    @property
    def name(self) -> str:
        """What stands both in the link and above the content."""
        if self.lines is None:
            return self.shown
        first, last = self.lines
        return f"{self.shown}#L{first}" if first == last else f"{self.shown}#L{first}-{last}"

    async def read(self, workspace: Workspace, limit: int) -> str:
        """Return what is there, under its name and `limit` characters of it at most.

        Raises:
            ToolError: it can't be read, or has no such lines.
        """
        if os.path.isdir(self.real):  # noqa: PTH112, ASYNC240 (a look at the disk is short)
            with paths.explained(self.shown):
                lines = await print_tree.lines(self.real)
        else:
            text, encoding = await workspace.read(self.real)
            lines = await asyncio.to_thread(self._lines, text)
            described = await asyncio.to_thread(self._described, lines, limit)
            return described if encoding == UTF_8 else f"{described}\n(The file is in {encoding}.)"
        return await asyncio.to_thread(self._described, lines, limit)

    def _lines(self, whole: str) -> list[str]:
        lines = whole.removeprefix("\ufeff").replace("\r\n", "\n").removesuffix("\n").split("\n")
        if self.lines and not (lines := lines[self.lines[0] - 1 : self.lines[1]]):
            raise ToolError(f"{self.shown} has fewer lines")
        return lines

    def _described(self, lines: list[str], limit: int) -> str:
        content = "\n".join(lines)
        if len(content) <= limit:
            return _fenced(self.name, content or "(empty)")
        kept = content[:limit].rpartition("\n")[0] or content[:limit]
        return _fenced(self.name, kept) + f"\n(Only {kept.count(chr(10)) + 1} of {len(lines)} lines are shown.)"


def _link(block: Any, index: int, roots: Roots) -> str:
    if block.type != "resource_link" and not hasattr(getattr(block, "resource", None), "text"):
        problem = {"field": f"prompt.{index}.type", "problem": "only text, links and embedded text can be read"}
        raise RpcError(INVALID_PARAMS, f"Content of type {block.type} is not supported", [problem])
    uri = _uri(block)
    place = _Place.of(uri, roots)
    target = place.name if place else uri
    name = block.name if block.type == "resource_link" else target.rstrip("/").rsplit("/", 1)[-1]
    return f"[{name}]({target})"


def _uri(block: Any) -> str:
    return str(block.uri if block.type == "resource_link" else block.resource.uri)


def _joint(said: str, piece: str, *, both_text: bool) -> str:
    """Return what must come between two pieces so that words do not run together."""
    if not said or not piece:
        return ""
    if both_text:
        return "\n\n"
    return "" if _NO_SPACE_AFTER.search(said) or _NO_SPACE_BEFORE.match(piece) else " "


def _fenced(name: str, content: str) -> str:
    return f"\n\n{name}\n{fenced(content)}"
