"""An engine that says what the test puts in, and updates that the test can look at.

Knows the engine's interface and the updates'. Knows nothing about sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gptoss_acp.engine.api import Constrain, EngineError, Generation, LoadProgress, Sampling
from gptoss_acp.protocol.updates import Updates
from tests.support.tokens import text_of
from tests.support.waiting import settled


class FakeEngine:
    """Generates nothing by itself: the test puts tokens into `generations`.

    A generation that is closed ends `stops_after` seconds later, unless the test ends it before.
    """

    model_name = "fake"
    context_length = 4096
    memory_bytes = 0
    load_progress = LoadProgress()

    def __init__(self) -> None:
        self.generations: list[Generation] = []
        self.load_failure: EngineError | None = None
        self.stops_after = 0.0

    def other(self, model_name: str) -> FakeEngine:
        raise AssertionError(model_name)

    def start(self) -> None: ...

    async def check_available(self) -> None: ...

    async def download(self) -> None: ...

    async def load(self) -> None:
        if self.load_failure is not None:
            raise self.load_failure

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        branches: Sequence[int] = (),
        constrain: Constrain | None = None,
    ) -> Generation:
        def close() -> None:
            asyncio.get_running_loop().call_later(self.stops_after, generation.end)

        generation = Generation(list(prompt), sampling, on_close=close)
        generation.begin()
        self.generations.append(generation)
        return generation

    def read_ahead(self, prefix: Sequence[int]) -> None: ...

    def close(self) -> None: ...

    async def generation(self, number: int) -> Generation:
        """Wait for generation `number`, counted from 0, to be asked for."""
        await settled(lambda: len(self.generations) > number)
        return self.generations[number]

    def prompt_text(self, number: int) -> str:
        return text_of(self.generations[number].prompt)


class RecordingUpdates(Updates):
    """Keeps what a client would be told."""

    def __init__(self) -> None:
        self._shows_compaction = False
        self.chunks: list[tuple[str, str]] = []
        self.usages: list[tuple[int, int]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.titles: list[str] = []

    def tool_call(self, identifier: str, title: str, kind: str, status: str = "pending") -> None:
        self.calls.append((identifier, {"title": title, "kind": kind, "status": status}))

    def tool_call_update(self, identifier: str, **fields: Any) -> None:
        self.calls.append((identifier, fields))

    def message_chunk(self, message_id: str, text: str) -> None:
        self.chunks.append((message_id, text))

    def title(self, title: str) -> None:
        self.titles.append(title)

    def usage(self, used: int, size: int) -> None:
        self.usages.append((used, size))

    async def drain(self) -> None: ...

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.chunks)
