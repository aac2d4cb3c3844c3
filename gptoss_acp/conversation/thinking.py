"""That the model thinks, and then for how long and how much: progress for the user, and never what it thinks.

Knows when a thought begins and ends. Is handed nothing of its text.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gptoss_acp.protocol.updates import Updates


@dataclass(slots=True)
class Thinking:
    """The thoughts of one turn, each shown as a message of its own in two pieces, if they are `shown` at all."""

    updates: Updates
    shown: bool
    _message_id: str = ""
    _began: float = 0.0

    def begin(self, message_id: str) -> None:
        """Show that a thought has begun."""
        self._message_id, self._began = message_id, time.perf_counter()
        self._say("Thinking")

    def end(self, tokens: int) -> None:
        """Show that it has ended, having taken so many tokens."""
        self._say(f" · {summed_up(time.perf_counter() - self._began, tokens)}")

    def _say(self, text: str) -> None:
        if self.shown:
            self.updates.thought_chunk(self._message_id, text)


def summed_up(seconds: float, tokens: int) -> str:
    """Return what a thought took; of one that took no second, its tokens say enough."""
    took = "1 token" if tokens == 1 else f"{tokens:,} tokens"
    if seconds < 1:
        return took
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,} min {rest} s, {took}" if minutes else f"{rest} s, {took}"
