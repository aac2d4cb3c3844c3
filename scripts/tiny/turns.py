"""What a turn is made of: what the user says, and what the model thinks, calls, hears and answers.

Knows nothing about tokens' order, tools or topics.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiny.grammar import Tokens
from tiny.requests import Action


@dataclass(frozen=True)
class Call:
    """The model thinks and calls a tool."""

    thought: str
    action: Action


@dataclass(frozen=True)
class Answer:
    """The model thinks and answers; without a thought, where the agent has begun the answer for it."""

    thought: str
    content: Tokens


@dataclass(frozen=True)
class Result:
    """What a tool returns."""

    tool: str
    text: str


@dataclass(frozen=True)
class Turn:
    """A user's message and everything up to the answer."""

    user: str
    steps: tuple[Call | Answer | Result, ...]
