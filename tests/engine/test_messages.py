"""What is said to the engine's thread: values that could be written down, and nothing that runs."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any, get_args

import pytest

from gptoss_acp.engine import messages
from gptoss_acp.engine.api import Sampling
from gptoss_acp.harmony.constraint import Constraint

EVERY: list[messages.Message] = [
    messages.Load("tiny", Path("/models/tiny")),
    messages.Unload(),
    messages.Submit(
        "tiny", 7, (1, 2, 3), Sampling(0.5, 0.9, 3, 10), (2,), Constraint((("read", "{}"), ("patch", None)))
    ),
    messages.Cancel(7),
    messages.Pause(7),
    messages.Resume(7),
    messages.ReadAhead("tiny", (1, 2)),
    messages.Close(),
]


def test_every_message_is_here() -> None:
    assert {type(message) for message in EVERY} == set(get_args(messages.Message))


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_a_message_survives_being_written_down_and_cannot_be_changed(message: Any) -> None:
    assert pickle.loads(pickle.dumps(message)) == message
    assert hash(message) == hash(pickle.loads(pickle.dumps(message)))
    for field in fields(message):
        assert not callable(getattr(message, field.name))
        with pytest.raises(FrozenInstanceError):
            setattr(message, field.name, None)
