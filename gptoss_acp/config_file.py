"""The user's configuration file, `config.toml`: settings by the names of their flags.

Knows TOML. Knows nothing about which settings there are.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from platformdirs import user_config_path

from gptoss_acp import atomic_write, regular_file

if TYPE_CHECKING:
    from pathlib import Path

NAME = "config.toml"

LARGEST = 2**20
"""Bytes of a file that is read."""


def path() -> Path:
    """Return where the file is, or would be."""
    return user_config_path("gptoss-acp") / NAME


def load() -> dict[str, Any]:
    """Return what the file says, nothing where there is none.

    Raises:
        ValueError: it can't be read, or is no TOML; the message says so, and where.
    """
    text = _text()
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"{path()} is no TOML: {error}") from None
    except RecursionError:
        raise ValueError(f"{path()} is nested too deeply to be a configuration") from None


def change(name: str, value: object) -> None:
    """Set a value, or take it out where it is None; comments and order stay.

    Raises:
        ValueError: what is there is no TOML, or the value is none that it can have.
        OSError: the file can't be written.
    """
    import tomlkit  # noqa: PLC0415 (slow, and an editor waits for the settings)

    load()  # which says in words that people know what is wrong
    document = tomlkit.parse(_text())
    if value is None:
        document.pop(name, None)
    else:
        document[name] = value
    try:
        content = tomlkit.dumps(document).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} can't be kept in {path()}: it is not in UTF-8") from None
    atomic_write.replace(path(), content)


def _text() -> str:
    try:
        return regular_file.read(path(), LARGEST).decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ValueError(f"{path()} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path()} is not in UTF-8: see line {line}") from None
