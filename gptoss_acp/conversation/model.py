"""The model of one session: which one it is, and how much of its context the conversation may fill.

Knows the engine's interface. Knows nothing about sessions, nor how a model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gptoss_acp.engine.api import Constrain, Engine, Generation, LoadProgress, PromptTooLongError, Sampling


class Choice:
    """What a session generates with, an `engine.api.Model`. Another engine takes its place with the next `load`."""

    def __init__(self, engine: Engine, longest_context: int | None = None) -> None:
        self.longest_context = longest_context
        self._engine = engine
        self._chosen = engine

    def choose(self, engine: Engine) -> None:
        """Generate with `engine` from the next turn on."""
        self._chosen = engine

    @property
    def model_name(self) -> str:
        return self._chosen.model_name

    @property
    def context_length(self) -> int:
        of_the_model = self._engine.context_length
        return min(of_the_model, self.longest_context or of_the_model)

    @property
    def memory_bytes(self) -> int:
        return self._engine.memory_bytes

    @property
    def load_progress(self) -> LoadProgress:
        return self._engine.load_progress

    async def load(self) -> None:
        self._engine = self._chosen
        await self._engine.load()

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        branches: Sequence[int] = (),
        constrain: Constrain | None = None,
    ) -> Generation:
        room = self.context_length - len(prompt)
        if room <= 0:
            raise PromptTooLongError(len(prompt), self.context_length)
        within = replace(sampling, max_tokens=min(sampling.max_tokens or room, room))
        return self._engine.generate(prompt, within, branches, constrain)

    def read_ahead(self, prefix: Sequence[int]) -> None:
        self._engine.read_ahead(prefix)
