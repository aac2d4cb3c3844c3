"""`gptoss-acp chat`: the agent in a terminal, with the sessions, tools and questions that it has in an editor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acp.schema import ResourceContentBlock, TextContentBlock
from platformdirs import user_state_path
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.history import FileHistory
from rich.console import Console

from gptoss_acp import own_files, server
from gptoss_acp.agent import put
from gptoss_acp.cli import ending, local
from gptoss_acp.cli.terminal_face import TerminalFace
from gptoss_acp.engine.api import EngineError
from gptoss_acp.errors import ToolError
from gptoss_acp.store import Archive, StoreError
from gptoss_acp.text import visible
from gptoss_acp.workspace import ripgrep

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator, AsyncIterator, Container, Iterator, Sequence

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from gptoss_acp.protocol.params import Folders
    from gptoss_acp.session import Session
    from gptoss_acp.settings import Settings
    from gptoss_acp.store import Info

MOST_NAMES = 50
"""File names that are offered behind an @."""

_MENTION = re.compile(r"(?<!\S)@(?:\"([^\"]{1,4096})\"|(\S{1,4096}))")
_PUNCTUATION = ".,;:!?)"
_BEGUN_MENTION = re.compile(r"(?<!\S)@(?:\"([^\"]{0,4096})|([^\s\"]\S{0,4095})?)\Z")


def run(chosen: Settings, given: argparse.Namespace) -> None:
    """Talk until the user has had enough, and end the process."""
    server.set_up_logging(chosen.log_level)
    try:
        stored = _stored(given)
        folders, servers = local.folders(given, stored), local.mcp_servers(given)
    except (ValueError, StoreError) as error:
        ending.usage(error)
    flags = {name for name in ("mode", "effort", "model") if getattr(given, name) is not None}
    work = _chat(chosen, folders, servers, stored=stored.id if stored else None, flags=flags)
    ending.end_with(work, chosen.model)


def _stored(given: argparse.Namespace) -> Info | None:
    """Return the session that is to go on, if one is.

    Raises:
        ValueError: there is none to go on with.
        StoreError: the one that is named is not there, or not the only one.
    """
    archive = Archive()
    if given.resume is not None:
        return archive.info(archive.the_one(given.resume))
    if not given.go_on:
        return None
    cwd = local.folders(given).cwd
    if sessions := archive.page(cwd).sessions:
        # One without a title was opened, and nothing was said in it.
        return next((session for session in sessions if session.title), sessions[0])
    raise ValueError(f"there is no session in {cwd} to continue")


async def _chat(
    chosen: Settings, folders: Folders, servers: Sequence[Any], *, stored: str | None, flags: Container[str]
) -> int:
    console = Console(highlight=False)
    face = TerminalFace(console)
    async with local.opened(chosen, face, folders, servers, stored=stored, flags=flags) as session:
        face.end()
        session.prepare()
        session.advertise()
        asking: PromptSession[str] = PromptSession(
            history=_history(), completer=_Completer(face, Path(folders.cwd)), complete_while_typing=False
        )
        place = f"gpt-oss in {visible(folders.cwd)}."
        hints = "/help lists commands, @ names a file, Ctrl-C stops, Ctrl-D ends."
        console.print(f"{place} {hints}", style="dim", markup=False)
        async for text in _typed(asking, session, face):
            try:
                await _take(text, session, face, console)
            except EngineError as error:
                console.print(visible(str(error)), style="red", markup=False)
    return ending.DONE


async def _typed(asking: PromptSession[str], session: Session, face: TerminalFace) -> AsyncIterator[str]:
    def status() -> str:
        used = f" · {face.used[0]:,} of {face.used[1]:,} tokens" if face.used else ""
        return f" {session.mode} · {session.effort}{used} "

    while True:
        try:
            text = await asking.prompt_async("> ", bottom_toolbar=status)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text.strip().lower().removeprefix("/") in {"exit", "quit"}:
            return
        if text.strip():
            yield text


async def _take(text: str, session: Session, face: TerminalFace, console: Console) -> None:
    """Run one turn; Ctrl-C cancels it."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, session.cancel)
    face.begin()
    try:
        outcome = await put(session, list(blocks(text, session.workspace.roots.cwd)))
    finally:
        face.end()
        loop.remove_signal_handler(signal.SIGINT)
    if ended := local.how_it_ended(outcome):
        console.print(ended, style="yellow", markup=False)


def blocks(text: str, cwd: Path) -> Iterator[TextContentBlock | ResourceContentBlock]:
    """Yield what is typed as ACP's content blocks: behind an @ the files and folders that are there."""
    done = 0
    for mention in _MENTION.finditer(text):
        quoted, plain = mention[1], mention[2] or ""
        names = [quoted] if quoted else [plain, plain.rstrip(_PUNCTUATION)]
        name = next((name for name in names if name and os.path.exists(cwd / name)), None)  # noqa: PTH110 (Path's raises)
        if name is not None:
            if between := text[done : mention.start()]:
                yield TextContentBlock(type="text", text=between)
            path = cwd / name
            yield ResourceContentBlock(type="resource_link", uri=path.as_uri(), name=path.name)
            done = mention.end() - (0 if quoted else len(plain) - len(name))
    if rest := text[done:]:
        yield TextContentBlock(type="text", text=rest)


def _mention(name: str) -> str | None:
    """Return a file's name as it is typed behind an @, None where that can't be: it needs quotes, and has some."""
    if not any(letter.isspace() for letter in name) and not name.startswith('"'):
        return f"@{name}"
    return None if '"' in name else f'@"{name}"'


def _history() -> FileHistory:
    file = user_state_path("gptoss-acp") / "chat-history"
    own_files.make_folder(file.parent)
    os.close(own_files.open_file(file, os.O_WRONLY))
    return FileHistory(str(file))


class _Completer(Completer):
    """Completes slash commands, and names of files behind an @."""

    def __init__(self, face: TerminalFace, cwd: Path) -> None:
        self._face = face
        self._cwd = cwd

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        assert complete_event is not None
        before = document.text_before_cursor
        if before.startswith("/") and " " not in before:
            for name, description in self._face.commands:
                if name.startswith(before[1:]):
                    yield Completion(f"/{name}", -len(before), display_meta=description)

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        for completion in self.get_completions(document, complete_event):
            yield completion
        if begun := _BEGUN_MENTION.search(document.text_before_cursor):
            for name in await self._names(begun[1] or begun[2] or ""):
                if (written := _mention(name)) is not None:
                    yield Completion(written, -len(begun[0]), display=visible(name, keep=""))

    async def _names(self, part: str) -> list[str]:
        """Return the names of files that have `part` in them, first those that begin with it."""
        found: list[str] = []
        with contextlib.suppress(OSError, ToolError):
            async with contextlib.aclosing(ripgrep.names(self._cwd)) as batches:
                async for batch in batches:
                    names = (os.fsdecode(name) for name in batch)
                    found += [name for name in names if part.lower() in name.lower()]
        return sorted(found, key=lambda name: (not name.lower().startswith(part.lower()), name))[:MOST_NAMES]
