"""What can go wrong with stored sessions; every message says what to do."""

from __future__ import annotations


class StoreError(Exception):
    """Sessions can't be stored or read."""


class DamagedError(StoreError):
    """The database was damaged; it has been set aside, and the next use starts a new one."""


class CursorError(ValueError):
    """A cursor that no page has given."""


class UnknownSessionError(StoreError):
    """There is no such session."""


class SessionInUseError(StoreError):
    """Another process has the session open."""
