"""The user's configuration file, `config.toml`: settings by the names of their flags.

Knows TOML. Knows nothing about which settings there are.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from platformdirs import user_config_path

from gptoss_acp import atomic_write

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
    content = _content()
    try:
        return tomllib.loads(content.decode())
    except ValueError as error:
        raise ValueError(f"{path()} is no TOML: {error}") from None


def change(name: str, value: object) -> None:
    """Set a value, or take it out where it is None; comments and order stay.

    Raises:
        ValueError: what is there is no TOML.
        OSError: the file can't be written.
    """
    import tomlkit  # noqa: PLC0415 (slow, and an editor waits for the settings)

    load()  # which says in words that people know what is wrong
    document = tomlkit.parse(_content())
    if value is None:
        document.pop(name, None)
    else:
        document[name] = value
    atomic_write.replace(path(), tomlkit.dumps(document).encode())


def _content() -> bytes:
    try:
        with path().open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ValueError(f"{path()} can't be read: {error.strerror}") from None
    if len(content) > LARGEST:
        raise ValueError(f"{path()} is too large to be a configuration")
    return content
