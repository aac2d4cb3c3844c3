"""A session over an engine that samples what the test puts in, and what a client would be told of it.

Knows how a session is made. Knows nothing about what is said in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gptoss_acp.session import Session
from gptoss_acp.settings import Settings
from gptoss_acp.turn import Outcome
from tests.support.desk import Desk, new_journal
from tests.support.fake_engine import FakeEngine, RecordingUpdates
from tests.support.waiting import settled


class Stage:
    """A session with its engine and what its client would be told."""

    def __init__(self, cwd: Path = Path("/work"), **settings: Any) -> None:
        self.engine = FakeEngine()
        self.updates = RecordingUpdates()
        self.session = Session(
            Desk(cwd).workspace,
            self.engine,
            self.updates,
            Settings(**{"titles": "off", **settings}),
            new_journal(),
        )

    def prompt(self, text: str) -> asyncio.Task[Outcome]:
        return asyncio.create_task(self.session.prompt(text))

    async def say(self, number: int, tokens: Sequence[int], *, end: bool = True) -> None:
        """Let generation `number` sample `tokens`; return when they have been read."""
        generation = await self.engine.generation(number)
        for token in tokens:
            generation.figures.generated_tokens += 1
            generation.put(token)
        if end:
            generation.end()
        else:
            await settled(lambda: not generation.overfull and not generation._tokens)

    async def converse(self, text: str, *calls: Sequence[int]) -> Outcome:
        """Run one turn whose model calls sample `calls`."""
        before = len(self.engine.generations)
        turn = self.prompt(text)
        for number, tokens in enumerate(calls):
            await self.say(before + number, tokens)
        return await finished(turn)


async def finished(turn: asyncio.Task[Outcome]) -> Outcome:
    return await asyncio.wait_for(asyncio.shield(turn), 5)
