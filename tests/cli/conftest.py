"""What the command line's tests share: a test that calls `main` in its own process leaves that as it was."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def broken_pipes_are_errors() -> Iterator[None]:
    """Take back that a broken pipe ends the process, as it may for a command that only prints."""
    before = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, before)
