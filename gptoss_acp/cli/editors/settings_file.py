"""A settings file in which editors name their agents: what it says of this one, and how that is changed.

Knows files, and under which keys the entry stands. Knows nothing about questions.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from gptoss_acp import atomic_write, regular_file
from gptoss_acp.cli.editors import jsonc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

State = Literal["there", "differs", "missing", "unreadable"]

LARGEST = 4 * 2**20
"""Bytes of a file that is read: far more than people's settings have."""

_EMPTY = "{\n}\n"


class SettingsError(Exception):
    """A settings file that is left as it is; the message says why, and what to do."""


@dataclass(frozen=True)
class SettingsFile:
    """JSON with comments, with our entry `server` at `keys`, or without."""

    path: Path
    keys: tuple[str, str]
    server: Mapping[str, Any]

    def read(self) -> str:
        """Return its text, nothing where it is missing.

        Raises:
            SettingsError: it can't be read, or is not UTF-8.
        """
        try:
            return regular_file.read(self.path, LARGEST).decode()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise SettingsError(f"{self.path} can't be read: {error.strerror}. Nothing was changed.") from None
        except UnicodeDecodeError:
            raise SettingsError(
                f"{self.path} is not in UTF-8. Store it in that encoding, then run this again. Nothing was changed."
            ) from None

    def entry(self, text: str) -> Any:
        """Return the entry, whatever it is, None where there is none.

        Raises:
            SettingsError: the text can't be understood.
        """
        with self._understood():
            return None if jsonc.is_empty(text) else jsonc.get(text, self.keys)

    @property
    def state(self) -> State:
        """How our entry stands in it."""
        try:
            text = self.read()
            if self.entry(text) is None:
                return "missing"
            return "there" if self.with_entry(text) == text else "differs"
        except SettingsError:
            return "unreadable"

    @property
    def command(self) -> str | None:
        """The program that the entry starts, None where none can be read."""
        try:
            entry = self.entry(self.read())
        except SettingsError:
            return None
        return str(entry["command"]) if isinstance(entry, dict) and "command" in entry else None

    def with_entry(self, text: str) -> str:
        """Return the text with our entry; of one that is there, what we say nothing about stays.

        Raises:
            SettingsError: the text can't be understood.
        """
        there = self.entry(text)
        if jsonc.is_empty(text):
            text = _begun(text)
        with self._understood():
            if not isinstance(there, dict):
                return jsonc.put(text, self.keys, self.server)
            for name, value in self.server.items():
                if name not in there or (value != there[name] and name != "env"):
                    text = jsonc.put(text, (*self.keys, name), value)
        return text

    def without_entry(self, text: str) -> str:
        """Return the text without our entry.

        Raises:
            SettingsError: the text can't be understood.
        """
        with self._understood():
            return text if jsonc.is_empty(text) else jsonc.remove(text, self.keys)

    def write(self, old: str, new: str) -> Path | None:
        """Put `new` in the place of `old`, all of it or nothing, and return where a copy of what was there is.

        Raises:
            SettingsError: it can't be written, or does not say `old` any more.
        """
        if self.read() != old:
            raise SettingsError(f"{self.path} has changed in the meantime. Nothing was changed; run this again.")
        backup = _unused_beside(self.path) if self.path.exists() else None
        try:
            if backup is not None:
                shutil.copy2(self.path, backup)
            atomic_write.replace(self.path, new.encode())
        except OSError as error:
            if backup is not None:
                backup.unlink(missing_ok=True)
            problem = error.strerror or error
            raise SettingsError(
                f"{self.path} can't be written: {problem}. Nothing was changed. Where something else makes this file, "
                "add there what --print shows."
            ) from None
        return backup

    @contextlib.contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except jsonc.JsoncError as error:
            raise SettingsError(
                f"{self.path} {error}. Mend it in the editor, then run this again; or add by hand what --print shows. "
                "Nothing was changed."
            ) from None


def _begun(text: str) -> str:
    """Return a text in which there is nothing but comments, with an object behind them."""
    words = text.strip()
    return f"{words}\n{_EMPTY}" if words else _EMPTY


def _unused_beside(path: Path) -> Path:
    """Return where a copy of a file can be put, beside it."""
    name = f"{path.name}.backup-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    number = 1
    while (unused := path.with_name(name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return unused
