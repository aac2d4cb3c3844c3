"""What can go wrong with stored sessions; every message says what to do."""

from __future__ import annotations


class StoreError(Exception):
    """Sessions can't be stored or read."""


class DamagedError(StoreError):
    """The database was damaged; it has been set aside, and the next use starts a new one."""


class UnstorableError(StoreError):
    """Something can't be stored in any database; it has been given up."""


class CursorError(ValueError):
    """A cursor that no page has given."""


class UnknownSessionError(StoreError):
    """There is no such session."""


class SessionInUseError(StoreError):
    """A process has the session open, this one or another."""


def unforeseen(error: BaseException) -> StoreError:
    """Return what to say of an error that nobody has foreseen; its traceback belongs in the log."""
    problem = f"sessions can't be stored or read (an unexpected {type(error).__name__}; the log says more)"
    return StoreError(f"{problem}; start gptoss-acp again if it stays so")
