"""What is read of each request about sessions, by the names of the SDK's schema.

The SDK's own models answer to any name (`__getattr__`), so a misspelt one would pass every check; these do not. Knows
fields. Knows nothing about what is done with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class OfSession(Protocol):
    """A request about one session."""

    @property
    def session_id(self) -> str: ...


class InFolders(Protocol):
    """A request that opens a session."""

    @property
    def cwd(self) -> str: ...

    @property
    def additional_directories(self) -> Sequence[str] | None: ...


class OfSessionInFolders(OfSession, InFolders, Protocol):
    """A request that opens a session which is stored."""


class Listing(Protocol):
    @property
    def cwd(self) -> str | None: ...

    @property
    def cursor(self) -> str | None: ...


class Prompt(OfSession, Protocol):
    """A prompt, in ACP's content blocks."""

    @property
    def prompt(self) -> Sequence[Any]: ...


class SetMode(OfSession, Protocol):
    @property
    def mode_id(self) -> str: ...


class SetConfigOption(OfSession, Protocol):
    @property
    def config_id(self) -> str: ...

    @property
    def value(self) -> str: ...
