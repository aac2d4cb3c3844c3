"""Files of the project's and the user's that are prompts: skills (https://agentskills.io), and commands.

Whatever lies in their place harms nothing: what can't be read within bounds is left out, and told. Nothing in them is
carried out, and no other file is taken into them. Knows folders, names and front matter. Knows nothing about who is
told of them, nor which of several with one name counts.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from platformdirs import user_config_path

from gptoss_acp.briefing import front_matter, git
from gptoss_acp.errors import ToolError
from gptoss_acp.text import clip_line, code_span, visible
from gptoss_acp.workspace import files, hidden, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gptoss_acp.briefing.front_matter import Document

    Tell = Callable[[str], None]
    Fits = Callable[[os.DirEntry[str]], bool]

SKILL = "SKILL.md"

LARGEST = 64 * 1024
"""Bytes of a file; about 16,000 tokens."""

LONGEST_DESCRIPTION = 1_024
"""Characters, as the open format of skills has it."""

MOST = 256
"""Files of a kind that are read of the project, the nearest first, and as many of the user."""

_MOST_ENTRIES = 4_096
"""Names of a folder that are looked at."""

_HINT = "what to do"
_LONGEST_HINT = 100

_ARGUMENTS = "$ARGUMENTS"
_MOST_ARGUMENTS = 20
"""Places of a prompt that the user's words are put into: they may be long."""

_NAME = re.compile(r"[A-Za-z0-9][\w-]{0,63}", re.ASCII)

_NAMES = "a name begins with a letter or digit, and has those, - and _ alone, 64 at most"

_YES, _NO = frozenset(["true", "yes", "on"]), frozenset(["false", "no", "off"])


class PromptFileError(ValueError):
    """A file can't be used; the message says which and why."""


class NotThereError(PromptFileError):
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of such files, the one that they may not lead out of, and what in that they may not lead to."""

    folder: Path
    bounds: Path
    of_project: bool
    barred: tuple[Path, ...] = ()

    def read(self, file: Path) -> Document:
        """Return what one of the files says.

        Raises:
            NotThereError: it is not there.
            PromptFileError: it leads out of the bounds, can't be read, is too large, or is no such text.
        """
        try:
            return self._read(file)
        except (FileNotFoundError, NotADirectoryError):
            raise NotThereError(f"{code_span(str(file))} is not there.") from None
        except (OSError, ToolError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PromptFileError(f"{code_span(str(file))} is left out: {reason}.") from None

    def _read(self, file: Path) -> Document:
        real, bounds = Path(os.path.realpath(file)), os.path.realpath(self.bounds)
        if not (real.is_relative_to(bounds) and Path(os.path.realpath(file.parent)).is_relative_to(bounds)):
            raise ValueError(f"it leads out of {code_span(str(self.bounds))}")
        if paths.is_in(real, self.barred):
            raise ValueError("it leads to keys, or to the agent's own files")
        if files.size_of(real) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST // 1024} KiB")
        try:
            document = front_matter.read(files.read_bytes(real, LARGEST).decode())
        except UnicodeDecodeError:
            raise ValueError("it is not in UTF-8") from None
        if not document.body or "\0" in document.body:
            raise ValueError("it says nothing" if not document.body else "it is no text")
        return document

    def names(self, tell: Tell, fits: Fits) -> list[str]:
        """Return the names of what is in the folder and `fits`, but for hidden ones."""
        try:
            with os.scandir(self.folder) as entries:
                some = list(islice(entries, _MOST_ENTRIES + 1))
                names = sorted(entry.name for entry in some[:_MOST_ENTRIES] if entry.name[0] != "." and fits(entry))
        except FileNotFoundError:
            return []
        except OSError as error:
            tell(f"{code_span(str(self.folder))} is left out: {error.strerror}.")
            return []
        if not Path(os.path.realpath(self.folder)).is_relative_to(os.path.realpath(self.bounds)):
            tell(f"{code_span(str(self.folder))} is left out: it leads out of {code_span(str(self.bounds))}.")
            return []
        if len(some) > _MOST_ENTRIES:
            tell(f"Not all of {code_span(str(self.folder))} is looked at: it holds more than {_MOST_ENTRIES:,} names.")
        return names


@dataclass(frozen=True, slots=True)
class CommandFile:
    """A prompt that the user calls by its name; `hint` says what may follow that."""

    name: str
    description: str
    hint: str
    file: Path
    place: Place
    kind: ClassVar = "command"

    @property
    def origin(self) -> str:
        """Whose it is, as the user is told."""
        whose = "the project's" if self.place.of_project else "your"
        return f"{whose} {self.kind}"

    def told(self, argument: str) -> str:
        """Return what the model is told where the user has called it with `argument`.

        Raises:
            PromptFileError: the file can't be used any more.
        """
        return _filled(self.place.read(self.file).body, argument)


@dataclass(frozen=True, slots=True)
class Skill(CommandFile):
    """A file to open before something is done. `for_model`: it is told of it; `for_user`: they can call it."""

    for_model: bool
    for_user: bool
    kind: ClassVar = "skill"

    def told(self, argument: str) -> str:
        """Return what `CommandFile.told` does, below a line that says where the skill's other files are."""
        body = _filled(self.place.read(self.file).body, argument)
        return f"The skill {self.name}, whose files are in {self.file.parent}:\n\n{body}"


def skills(cwd: Path, tell: Tell) -> Iterator[Skill]:
    """Yield the skills that hold in a folder, the nearest first; `tell` gets a sentence about each that is left out."""
    for place, name in _found(cwd, "skills", (".agents", ".claude"), os.path.isdir, tell):
        file = place.folder / name / SKILL
        if document := _read(place, file, name, tell):
            fields = document.fields
            if not (description := _line(fields.get("description", ""), LONGEST_DESCRIPTION)):
                tell(f"{code_span(str(file))} is left out: it has no description, which says what it is for.")
                continue
            hint = _line(fields.get("argument-hint", ""), _LONGEST_HINT) or _HINT
            for_model = fields.get("disable-model-invocation", "").lower() not in _YES
            for_user = fields.get("user-invocable", "").lower() not in _NO
            yield Skill(name, description, hint, file, place, for_model, for_user)


def commands(cwd: Path, tell: Tell) -> Iterator[CommandFile]:
    """Yield the commands that hold in a folder, likewise."""
    for place, entry in _found(cwd, "commands", (".agents",), _is_markdown, tell):
        name, file = entry.removesuffix(".md"), place.folder / entry
        if document := _read(place, file, name, tell):
            first = document.body.partition("\n")[0].lstrip("# ")
            description = _line(document.fields.get("description", first), LONGEST_DESCRIPTION) or entry
            hint = _line(document.fields.get("argument-hint", ""), _LONGEST_HINT) or _HINT
            yield CommandFile(name, description, hint, file, place)


def _is_markdown(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".md")


def _places(cwd: Path, kind: str, folders: Sequence[str]) -> Iterator[Place]:
    """Yield where files of a kind may be: from the folder up to the root of its repository, then the user's own."""
    own = [user_config_path("gptoss-acp") / kind]
    with contextlib.suppress(RuntimeError):  # there is no home
        own += [Path.home() / folder / kind for folder in folders]
    known = {identity for folder in own if (identity := _identity(folder))}
    upward = git.upward(cwd)
    # A home folder can be a repository itself.
    barred = (*hidden.secrets(), *hidden.own())
    for above in upward:
        for folder in folders:
            place = above / folder / kind
            if _identity(place) not in known:
                yield Place(place, upward[-1], of_project=True, barred=barred)
    yield from (Place(users, Path("/"), of_project=False) for users in own)


def _identity(folder: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = folder.stat()
        return found.st_dev, found.st_ino
    return None


def _found(cwd: Path, kind: str, folders: Sequence[str], fits: Fits, tell: Tell) -> Iterator[tuple[Place, str]]:
    room = {True: MOST, False: MOST}  # a project does not take the room of the user's own
    for place in _places(cwd, kind, folders):
        names = place.names(tell, fits)
        kept = names[: room[place.of_project]]
        room[place.of_project] -= len(kept)
        for name in kept:
            yield place, name
        if len(kept) < len(names):
            whose = "a project" if place.of_project else "a user"
            tell(f"Not all {kind} in {code_span(str(place.folder))} are read: of {whose} {MOST} at most.")


def _read(place: Place, file: Path, name: str, tell: Tell) -> Document | None:
    """Return what a file says, None where there is none, or it can't be used under its name."""
    try:
        document = place.read(file)
    except NotThereError:
        return None
    except PromptFileError as problem:
        tell(str(problem))
        return None
    if not _NAME.fullmatch(name):
        tell(f"{code_span(str(file))} is left out: {_NAMES}.")
        return None
    if visible(str(file), keep="") != str(file):
        tell(f"{code_span(str(file))} is left out: its path holds what can't be seen.")
        return None
    return document


def _line(text: str, limit: int) -> str:
    """Return what a file says of itself on one line, with all that can't be seen written out."""
    return clip_line(visible(" ".join(text.split()), keep=""), limit)


def _filled(body: str, argument: str) -> str:
    """Return a prompt with the user's words where it wants them, else behind it."""
    if _ARGUMENTS in body:
        return body.replace(_ARGUMENTS, argument, _MOST_ARGUMENTS)
    return f"{body}\n\n{argument}" if argument else body
