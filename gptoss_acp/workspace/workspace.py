"""The files and commands of one session: the editor's where it has them, else this machine's.

Reads see what is not saved yet in the editor. After a command of ours changed a file on disk, the disk's version counts
until the editor has it too. Takes resolved paths, and asks nobody's leave: that is `call.py`'s part.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import re
import sys
import time
from base64 import b64encode
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from gptoss_acp.errors import ToolError
from gptoss_acp.shielding import unharmed
from gptoss_acp.text import json_size
from gptoss_acp.workspace import (
    background,
    edits,
    encodings,
    environment,
    files,
    kept,
    launcher,
    paths,
    process,
    protected,
    ripgrep,
    supervisor,
    variables,
    window,
)
from gptoss_acp.workspace.background import Background, Program
from gptoss_acp.workspace.files import Blob
from gptoss_acp.workspace.readable import Readable
from gptoss_acp.workspace.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gptoss_acp.protocol.face import Face
    from gptoss_acp.workspace.edits import Change
    from gptoss_acp.workspace.encodings import Encoding
    from gptoss_acp.workspace.view import Limits
    from gptoss_acp.workspace.window import Window

_CLOCK_SLACK = 20_000_000
"""Nanoseconds that a file's time may lag behind the clock."""

_MOST_REMEMBERED = 256
"""Files of which is remembered what the disk has had; before a command, each is looked at for a change."""

_MOST_TEXTS = 20

_MOST_COMMANDS = 1_000

_MISREAD = frozenset("\ufffd\0")
"""What an editor makes of bytes in an encoding that it does not know."""


class Workspace:
    """The roots of a session and how to work in them."""

    def __init__(
        self,
        roots: paths.Roots,
        face: Face,
        sandbox: Sandbox | None = None,
        passed: Sequence[str] = (),
        encoding: str = "",
    ) -> None:
        self.roots = roots
        self.readable = Readable(roots.cwd)
        self.face = face
        self.sandbox = sandbox or Sandbox("off", roots.folders)
        self.background = Background()
        self._passed = passed
        self._encoding = encoding
        self._guessed: dict[Path, Encoding] = {}
        self._to_tidy_since = 0
        self._may_be_untidy = False
        self._outputs = itertools.count(1)
        self._instructed: set[Path] = set()
        self._worked: list[tuple[int, int]] = []
        self._had: dict[Path, _Had] = {}  # the files that were looked at last

    def protected(self, paths: Sequence[str]) -> dict[str, str]:
        """Return those of the paths, about to be written, that others run or obey, and as what."""
        forms = {path: [Path(self.roots.absolute(path)), self.roots.resolve(path)] for path in paths}
        new = list(itertools.chain.from_iterable(forms.values()))
        protections = [protected.Protection(root, new) for root in self.roots.folders]
        found = {}
        for path in paths:
            named = (protection.place_of(form) for form in forms[path] for protection in protections)
            if place := next(filter(None, named), None):
                found[path] = place
        return found

    async def read(self, real: Path) -> tuple[str, Encoding]:
        """Return a text file, as the editor has it where that knows better than the disk, and its encoding.

        Raises:
            ToolError: it can't be read.
        """
        text, encoding = await self._read(real)
        if text is None:
            raise ToolError(f"no such file: {self.roots.shown(real)[:300]}")
        return text, encoding

    async def read_if_there(self, real: Path, encoding: Encoding | None = None) -> str | None:
        """Return what `read` does, or None where there is no such file; it is in `encoding`, if that fits.

        Raises:
            ToolError: it is there but can't be read.
        """
        return (await self._read(real, encoding))[0]

    def decoded(self, line: bytes, real: Path) -> str:
        """Return a line of a file as text."""
        text, note = ripgrep.without_note(line), line[len(ripgrep.without_note(line)) :].decode(errors="replace")
        for encoding in self._encodings_of(real):
            with contextlib.suppress(ToolError):
                return encoding.decode(text, cut=bool(note)) + note
        return line.decode(errors="replace")

    def _encodings_of(self, real: Path) -> Iterator[Encoding]:
        yield encodings.UTF_8
        with contextlib.suppress(OSError, ToolError):
            yield self._read_disk(real)[1]

    async def content(self, real: Path) -> tuple[str | Blob | None, Encoding]:
        """Return what is in a file, None where there is none, and how its text is encoded.

        Raises:
            ToolError: it is there but can't be read.
        """
        try:
            return await self._read(real)
        except files.NoTextError as error:
            why = str(error).removeprefix(f"{self.roots.shown(real)}: ")
            return await self.identify(real, why), encodings.UTF_8

    async def holds(self, real: Path, content: str | Blob | None, encoding: Encoding) -> bool:
        """Whether that is in a file now."""
        try:
            if isinstance(content, Blob):
                return await asyncio.to_thread(files.identify, real) == content
            return await self.read_if_there(real, encoding) == content
        except (OSError, ToolError):
            return False

    async def identify(self, real: Path, why: str = "") -> Blob:
        """Return what tells a file from others, whatever it holds.

        Raises:
            ToolError: it can't be read.
        """
        with paths.explained(self.roots.shown(real)):
            return await asyncio.to_thread(files.identify, real, why)

    async def keep(self, change: Change, moves_to: Path | None = None) -> Change:
        """Return a change as it can be undone: what goes and is no text is kept elsewhere, unless it `moves_to` there.

        Of a text that could have been written in several ways its bytes are noted.

        Raises:
            ToolError: it can't be kept.
        """
        if change.old_text is not None and not change.encoding.is_exact and change.was is None:
            with paths.explained(self.roots.shown(change.path)):
                content = await asyncio.to_thread(files.read_bytes, change.path)
            return replace(change, was=b64encode(content).decode())
        if not isinstance(change.before, Blob):
            return change
        try:
            place = moves_to or await asyncio.to_thread(kept.keep, change.path)
        except OSError as error:
            shown = self.roots.shown(change.path)
            problem = f"{shown} can't be kept for /undo ({error.strerror}); remove it with container.exec"
            raise ToolError(problem) from None
        return replace(change, before=replace(change.before, kept=str(place)))

    async def _read(self, real: Path, known: Encoding | None = None) -> tuple[str | None, Encoding]:
        with paths.explained(self.roots.shown(real)):
            on_disk, encoding = await asyncio.to_thread(self._read_disk, real, known)
        if not self.face.capabilities.read:
            return on_disk, encoding
        try:
            in_editor = await self.face.read_text_file(real)
        except ToolError:
            return on_disk, encoding
        if on_disk is None:
            # Never saved; some editors answer with nothing for what is not there.
            return in_editor or None, encoding
        is_misread = encoding != encodings.UTF_8 and not _MISREAD.isdisjoint(in_editor)
        if is_misread or self._disk_is_newer(real, on_disk, in_editor):
            return on_disk, encoding
        return in_editor, encoding

    def _read_disk(self, real: Path, encoding: Encoding | None = None) -> tuple[str | None, Encoding]:
        try:
            text, found = files.read_text(real, encoding or self._guessed.get(real), setting=self._encoding)
        except FileNotFoundError:
            return None, encoding or encodings.UTF_8
        if found.is_guess:  # and so it stays: by what is written there, another might be guessed
            self._guessed[real] = found
        return text, found

    async def window(self, real: Path, first: int, most: int, room: int) -> Window:
        """Return some lines of a text file: what `read` returns of it, and of one too large for that, the disk's.

        Raises:
            ToolError: it can't be read.
        """
        if self.face.capabilities.read and files.size_of(real) <= files.LARGEST_FILE:
            text, encoding = await self.read(real)
            with paths.explained(self.roots.shown(real)):
                return await asyncio.to_thread(window.of_text, text, encoding, first, most, room)
        of_file = functools.partial(window.of_file, encoding=self._guessed.get(real), setting=self._encoding)
        with paths.explained(self.roots.shown(real)):
            return await asyncio.to_thread(of_file, real, first, most, room)

    async def commit(self, changes: Sequence[Change]) -> list[Change]:
        """Make every change, or none; return them as they came out, for some editors format what they save.

        Raises:
            ToolError: a file can't be written, or is not what it was when the change was made up; nothing has changed.
        """
        for change in changes:
            if not await self.holds(change.path, change.before, change.encoding):
                shown = self.roots.shown(change.path)
                raise ToolError(f"{shown}: it has changed since it was read, or is there already; read it again")
        with self._working():
            made = await self._write([change for change in changes if not self._suits_editor(change)], changes)
        await self.sandbox.take_in([change.path for change in made])
        return made

    async def prepare_to_run(self) -> None:
        """Get the sandbox ready, if there is one.

        Raises:
            ToolError: a sandbox is required, and there is none.
        """
        await self.sandbox.prepare()
        if self.sandbox.kind != "none":
            self._temporary()

    async def run(
        self,
        command: Sequence[str],
        cwd: Path,
        limits: Limits | None,
        on_terminal: Callable[[str], None],
        on_output: Callable[[str], None],
    ) -> int:
        """Run a program to its end and return its exit code, in the sandbox within `limits` or, without any, freely.

        Cancelling ends it, with its children, and then returns.

        Raises:
            ToolError: it can't be run.
        """
        await asyncio.to_thread(self._look_again)
        self.note_begin()
        with contextlib.ExitStack() as stack:
            with paths.explained(self.roots.shown(cwd)):
                held = stack.enter_context(paths.hold_folder(cwd))
            stack.enter_context(self._working())
            if self.face.capabilities.terminal:
                return await self._run_in_terminal(command, cwd, limits, on_terminal, on_output)
            found = await self._environment(limits)
            words = variables.with_own_path(list(command), found["PATH"])
            within, started_in = self._within(cwd, limits), paths.as_cwd(cwd, held)
            return await process.run(words, cwd, found, on_output, within=within, started_in=started_in)

    async def start(self, line: str, command: Sequence[str], cwd: Path, limits: Limits | None) -> Program:
        """Start a program, shown as `line`, that goes on until it ends by itself or the session does.

        Raises:
            ToolError: it can't be run.
        """
        self.note_begin()
        self._may_be_untidy = limits is not None
        found = await self._environment(limits)
        if limits and self.sandbox.joins:
            alone = self.sandbox.words(self.roots.cwd, limits)
            holding = functools.partial(process.run, background.HOLDING, self.roots.cwd, found, within=alone)
            within = supervisor.words(str(cwd), join=await self.background.hold(limits, holding))
        else:
            within = self.sandbox.words(cwd, limits)
        words = variables.with_own_path(list(command), found["PATH"])
        running = functools.partial(process.run, words, cwd, found, within=within)
        return await self.background.start(line, running, limits, self._temporary())

    def untold_instructions(self, real: Path) -> Iterator[Path]:
        """Yield, once each, the AGENTS.md files below the working directory that hold for a resolved path."""
        for folder in [real, *real.parents]:
            if folder == self.roots.cwd or not folder.is_relative_to(self.roots.cwd):
                return
            file = folder / protected.INSTRUCTIONS
            if file not in self._instructed and file.is_file():
                self._instructed.add(file)
                if file != real:
                    yield file

    def new_temporary_file(self) -> Path:
        """Return the path of a new file, not yet made, that the model may read."""
        return self._temporary() / f"output-{next(self._outputs)}.txt"

    def _temporary(self) -> Path:
        """Return the folder for what is temporary, which the model may use from now on."""
        self.roots.take_temporary(self.sandbox.temporary, is_tmp=self.sandbox.own_tmp)
        return self.sandbox.temporary

    async def tidy(self) -> list[str]:
        """Move aside what commands have put where others run or obey it, and return what to say of it."""
        now = time.time_ns() - _CLOCK_SLACK
        told = await self.sandbox.tidy(self._to_tidy_since)
        self._to_tidy_since = now
        self._may_be_untidy = self.background.is_running
        return told

    def note_begin(self) -> None:
        """Note that work begins that `tidy` is to tidy up after."""
        if not (self._may_be_untidy or self.sandbox.has_servers):  # else it may have been at work since
            self._to_tidy_since = time.time_ns() - _CLOCK_SLACK

    def _within(self, cwd: Path, limits: Limits | None) -> list[str]:
        if (joined := self.background.joined(limits)) is not None:
            return supervisor.words(str(cwd), join=joined)
        return self.sandbox.words(cwd, limits)

    async def _environment(self, limits: Limits | None) -> dict[str, str]:
        found = await environment.environment(self._passed)
        return found | {"TMPDIR": str(self.sandbox.temporary)} if limits else found

    async def _run_in_terminal(
        self,
        command: Sequence[str],
        cwd: Path,
        limits: Limits | None,
        on_terminal: Callable[[str], None],
        on_output: Callable[[str], None],
    ) -> int:
        told = {"command": command, "cwd": str(cwd), "within": self._within(cwd, limits), "passed": self._passed}
        added = {launcher.VARIABLE: orjson.dumps(told).decode()}
        if limits:
            added["TMPDIR"] = str(self.sandbox.temporary)
        words = [sys.executable, "-I", "-S", launcher.__file__, _label(command)]
        return await self.face.run_in_terminal(words, cwd, added, on_terminal=on_terminal, on_output=on_output)

    async def close(self) -> None:
        """End what runs in the background, and remove what is temporary."""
        try:
            await self.background.stop()
            if self._may_be_untidy or self.sandbox.has_servers:
                await self.tidy()
        finally:
            await asyncio.to_thread(self.sandbox.close)

    async def _write(self, on_disk: Sequence[Change], changes: Sequence[Change]) -> list[Change]:
        made: list[Change] = []
        try:
            await unharmed(asyncio.to_thread(self._write_on_disk, on_disk, made))
            for change in changes:
                if change not in on_disk:
                    await unharmed(self._write_through_editor(change, made))
        except BaseException:
            # From here on no editor is asked: it has just failed, or the turn is being cancelled.
            texts = [[change] for change in made if not change.blob]
            for changes_back in (*texts, [change for change in made if change.blob]):
                with contextlib.suppress(ToolError):
                    edits.commit([change.reversed() for change in reversed(changes_back)])
            raise
        return made

    def _write_on_disk(self, changes: Sequence[Change], made: list[Change]) -> None:
        for change in changes:
            with paths.explained(self.roots.shown(change.path)):
                on_disk = change.before
                if isinstance(on_disk, str):
                    on_disk, _ = self._read_disk(change.path, change.encoding)
                if on_disk != change.before:
                    raise ToolError("it has changes in the editor that are not saved; the user must save them first")
        edits.commit(changes)
        made += changes

    async def _write_through_editor(self, change: Change, made: list[Change]) -> None:
        assert isinstance(change.after, str)
        made.append(change)  # already now: an editor that fails may have written all the same
        folder = change.path.parent
        with paths.explained(self.roots.shown(change.path)), paths.hold_folder(folder, create=True) as held:
            await self.face.write_text_file(change.path, change.after)
            # It has written by the name, which may have led elsewhere meanwhile.
            if not await asyncio.to_thread(paths.is_still_at, folder, held):
                raise ToolError("its folder was replaced while the editor wrote it, maybe elsewhere; look")
        with contextlib.suppress(ToolError):  # it has saved what is no text
            try:
                saved, _ = await asyncio.to_thread(self._read_disk, change.path)
            except OSError:
                saved = None
            if saved in {None, change.before}:
                made[-1] = replace(change, unsaved=True)
            else:
                made[-1] = replace(change, after=saved)

    def _suits_editor(self, change: Change) -> bool:
        """Whether the editor can make a change: it has no way to delete, to set a file's mode, to take much."""
        return (
            self.face.capabilities.write
            and isinstance(change.after, str)
            and change.encoding == encodings.UTF_8
            and change.moved_from is None
            and change.mode is None
            and json_size(change.after) <= self.face.longest_write
        )

    def _disk_is_newer(self, real: Path, on_disk: str, in_editor: str) -> bool:
        """Whether the disk's version counts: it is the editor's too, or one of our commands wrote it meanwhile.

        Then the editor has what the disk had before. If it has anything else, the user has typed that; but of a file
        that was never looked at nobody knows.
        """
        disks, editors = hash(_plain(on_disk)), hash(_plain(in_editor))
        changed = files.changed_at(real) or 0
        worked = (*self._worked, *self.background.worked)
        ours = any(start - _CLOCK_SLACK <= changed <= end for start, end in worked)
        had = self._had.pop(real, None) or _Had({editors: None} if ours else {})
        had.note(disks, changed)
        self._had[real] = had
        if len(self._had) > _MOST_REMEMBERED:
            del self._had[next(iter(self._had))]
        return editors == disks or (ours and editors in had.texts)

    def _look_again(self) -> None:
        """Note what the disk has now of the files that were looked at, before a command changes it."""
        for real, had in list(self._had.items()):
            if (changed := files.changed_at(real)) != had.changed_at:
                with contextlib.suppress(OSError, ToolError):
                    had.note(hash(_plain(self._read_disk(real)[0] or "")), changed)

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        start = time.time_ns()
        try:
            yield
        finally:
            self._worked.append((start, time.time_ns()))
            del self._worked[:-_MOST_COMMANDS]


@dataclass(slots=True)
class _Had:
    """The hashes of what the disk has had of a file, as far as it was looked at, and when that last changed."""

    texts: dict[int, None]
    changed_at: int | None = None

    def note(self, text: int, changed_at: int | None) -> None:
        self.texts.pop(text, None)
        self.texts[text] = None
        self.changed_at = changed_at
        if len(self.texts) > _MOST_TEXTS:
            del self.texts[next(iter(self.texts))]


def _label(command: Sequence[str]) -> str:
    """Return what a command is about, in letters of which no shell makes anything else."""
    return re.sub(r"[^\w./=:+-]+", "_", " ".join(command[-1:] if len(command) == 3 else command))[:80]


def _plain(text: str) -> str:
    """Return `text` as an editor holds it: without byte order mark, with plain line ends."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n")
