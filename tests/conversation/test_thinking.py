"""What is said of a thought: that there is one, and what it took."""

from __future__ import annotations

import pytest

from gptoss_acp.conversation.thinking import Thinking, summed_up
from tests.support.fake_engine import RecordingUpdates


@pytest.mark.parametrize(
    ("seconds", "tokens", "said"),
    [
        (0.0, 1, "1 token"),
        (0.0, 12, "12 tokens"),
        (0.99, 12, "12 tokens"),
        (1.0, 12, "1 s, 12 tokens"),
        (12.4, 410, "12 s, 410 tokens"),
        (59.4, 1410, "59 s, 1,410 tokens"),
        (59.6, 1410, "1 min 0 s, 1,410 tokens"),
        (65.0, 1234567, "1 min 5 s, 1,234,567 tokens"),
        (3725.0, 5, "62 min 5 s, 5 tokens"),
    ],
)
def test_what_a_thought_took_is_said_in_whole_seconds_and_minutes(seconds: float, tokens: int, said: str) -> None:
    assert summed_up(seconds, tokens) == said


@pytest.mark.parametrize(("shown", "pieces"), [(True, [("t", "Thinking"), ("t", " · 12 tokens")]), (False, [])])
def test_a_thought_is_one_message_in_two_pieces_unless_none_is_shown(
    *, shown: bool, pieces: list[tuple[str, str]]
) -> None:
    updates = RecordingUpdates()
    thinking = Thinking(updates, shown=shown)
    thinking.begin("t")
    thinking.end(12)
    assert updates.thoughts == pieces
