"""An engine that says what the test puts in, and a face that the test can look at.

Knows the interfaces of both. Knows nothing about sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gptoss_acp.engine.api import Constraint, EngineError, LoadProgress, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Cancel, Resume, Submit
from gptoss_acp.errors import ToolError
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.protocol.face import Answered
from gptoss_acp.protocol.shapes import Elicitation, PermissionOption, ToolCallState, Update
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
    machines = ""
    load_progress = LoadProgress()
    may_download = False

    def __init__(self) -> None:
        self.generations: list[Generation] = []
        self.load_failure: EngineError | None = None
        self.stops_after = 0.0

    def other(self, model_name: str) -> FakeEngine:
        raise AssertionError(model_name)

    def start(self) -> None: ...

    async def check_available(self) -> None: ...

    async def download(self) -> None: ...

    def stop_download(self) -> None: ...

    async def load(self) -> None:
        if self.load_failure is not None:
            raise self.load_failure

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        branches: Sequence[int] = (),
        constraint: Constraint | None = None,
    ) -> Generation:
        def obey(message: Cancel | Resume) -> None:
            if isinstance(message, Cancel):
                asyncio.get_running_loop().call_later(self.stops_after, generation.end)

        request = Submit(self.model_name, len(self.generations), tuple(prompt), sampling, tuple(branches), constraint)
        generation = Generation(request, obey)
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
        return text_of(self.generations[number].request.prompt)


class RecordingFace:
    """Keeps what it is shown. Nobody answers it, and it has neither files nor terminals."""

    capabilities = Capabilities()
    congested = False

    longest_write = 0

    def __init__(self) -> None:
        self.shown: list[Update] = []

    def update(self, update: Update) -> None:
        self.shown.append(update)

    async def drain(self) -> None: ...

    async def elicit(self, elicitation: Elicitation) -> Answered:
        raise AssertionError(f"asked: {elicitation['message']}")

    async def ask(self, tool_call: ToolCallState, options: Sequence[PermissionOption]) -> str:
        raise ToolError("nobody is there to be asked")

    async def read_text_file(self, path: Path) -> str:
        raise AssertionError(path)

    async def write_text_file(self, path: Path, text: str) -> None:
        raise AssertionError(path)

    async def run_in_terminal(self, command: Sequence[str], *_: Any, **__: Any) -> int:
        raise AssertionError(command)


class RecordingUpdates(Updates):
    """Keeps what a client would be told."""

    def __init__(self) -> None:
        self._shown = RecordingFace()
        super().__init__(self._shown, lambda _: None)

    @property
    def shown(self) -> list[Update]:
        return self._shown.shown

    def _of(self, *kinds: str) -> list[Any]:
        return [update for update in self._shown.shown if update["sessionUpdate"] in kinds]

    @property
    def chunks(self) -> list[tuple[str, str]]:
        return [(chunk["messageId"], chunk["content"]["text"]) for chunk in self._of("agent_message_chunk")]

    @property
    def thoughts(self) -> list[tuple[str, str]]:
        return [(chunk["messageId"], chunk["content"]["text"]) for chunk in self._of("agent_thought_chunk")]

    @property
    def usages(self) -> list[tuple[int, int]]:
        return [(usage["used"], usage["size"]) for usage in self._of("usage_update")]

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        known = {"sessionUpdate", "toolCallId"}
        return [
            (call["toolCallId"], {name: value for name, value in call.items() if name not in known})
            for call in self._of("tool_call", "tool_call_update")
        ]

    @property
    def titles(self) -> list[str]:
        return [info["title"] for info in self._of("session_info_update")]

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.chunks)
