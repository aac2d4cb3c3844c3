"""One prompt turn: render, generate, route what the model says, run its tool calls, until it returns.

The only place where the ledger, the engine, Harmony's events and the client's updates meet. Knows neither how a token
is made nor how a line is written.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gptoss_acp import tools
from gptoss_acp.engine.api import Engine, Figures, Sampling
from gptoss_acp.harmony.parser import Event, MessageEnded, MessageStarted, Parser, TextDelta
from gptoss_acp.ledger import Ledger
from gptoss_acp.updates import Updates

StopReason = Literal["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"]

THINKING_UPDATE_SECONDS = 1.0


class Trace(Protocol):
    """Where the ids that the model sees and samples are recorded for debugging."""

    def prompt(self, tokens: Sequence[int]) -> None: ...

    def token(self, token: int) -> None: ...


@dataclass(slots=True)
class Outcome:
    """How a turn ended and what it took. Counts are tokens over all its model calls, times are seconds."""

    stop_reason: StopReason = "end_turn"
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    thought_tokens: int = 0
    decode_seconds: float = 0.0
    decoded_tokens: int = 0
    first_token_seconds: float | None = None
    first_visible_seconds: float | None = None

    @property
    def tokens_per_second(self) -> float | None:
        return self.decoded_tokens / self.decode_seconds if self.decode_seconds else None

    def add(self, figures: Figures) -> None:
        self.input_tokens += figures.prompt_tokens
        self.cached_tokens += figures.cached_tokens
        self.output_tokens += figures.generated_tokens
        self.decode_seconds += figures.decode_seconds
        self.decoded_tokens += max(0, figures.generated_tokens - 1)


@dataclass(slots=True)
class Turn:
    """One turn of a session, whose ledger already holds the user's message."""

    ledger: Ledger
    engine: Engine
    updates: Updates
    sampling: Sampling
    max_requests: int
    trace: Trace | None = None
    outcome: Outcome = field(default_factory=Outcome)
    _started: float = field(default_factory=time.perf_counter)
    _visible: bool = False
    _message_id: str = ""
    _last_progress: float = 0.0
    _used: int = -1

    async def run(self) -> Outcome:
        """Run to the end. A cancelled turn ends as `cancelled`, once the engine has let go of it.

        Raises:
            EngineError: the model could not be loaded, or failed.
        """
        try:
            await self.engine.load()
            self.outcome.stop_reason = await self._converse()
        except asyncio.CancelledError:
            self.outcome.stop_reason = "cancelled"
        finally:
            self.ledger.end_turn()
            self.engine.read_ahead(self.ledger.tokens())
        return self.outcome

    async def _converse(self) -> StopReason:
        for _ in range(self.max_requests):
            last = await self._respond()
            if last is None or not last.complete:
                return "max_tokens"
            if last.recipient is None:
                return "end_turn"
            self.ledger.add_tool_result(last, tools.run(last.recipient))
        return "max_turn_requests"

    async def _respond(self) -> MessageEnded | None:
        """Generate until a stop token; return the message it ended, or what a limit cut short."""
        prompt = self.ledger.prompt()
        parser = Parser()
        ended = None
        if self.trace:
            self.trace.prompt(prompt)
        generation = self.engine.generate(prompt, self.sampling, (self.ledger.prefix_length,))
        try:
            self._show_progress(generation.figures)
            async for token in generation:
                self._note(token)
                ended = None
                for event in parser.feed(token):
                    ended = self._route(event)
                self._show_thinking(generation.figures)
                await self.updates.drain()
        finally:
            await generation.aclose()
            for event in parser.finish():
                ended = self._route(event)
            self.outcome.add(generation.figures)
            self._show_progress(generation.figures)
        return ended

    def _route(self, event: Event) -> MessageEnded | None:
        """Show what is meant for the user, keep what has ended, and return it."""
        match event:
            case MessageStarted():
                self._visible = event.recipient is None and event.channel != "analysis"
                self._message_id = str(uuid.uuid4())
            case TextDelta():
                if self._visible:
                    self._show(event.text)
            case MessageEnded():
                self._visible = False
                if event.recipient is None and event.channel == "analysis":
                    self.outcome.thought_tokens += len(event.tokens)
                self.ledger.add_sampled(event)
                return event
        return None

    def _note(self, token: int) -> None:
        if self.outcome.first_token_seconds is None:
            self.outcome.first_token_seconds = time.perf_counter() - self._started
        if self.trace:
            self.trace.token(token)

    def _show(self, text: str) -> None:
        if self.outcome.first_visible_seconds is None:
            self.outcome.first_visible_seconds = time.perf_counter() - self._started
        self.updates.message_chunk(self._message_id, text)

    def _show_thinking(self, figures: Figures) -> None:
        # While nothing can be shown, the growing usage tells the user that the model is at work.
        if not self._visible and time.perf_counter() - self._last_progress >= THINKING_UPDATE_SECONDS:
            self._show_progress(figures)

    def _show_progress(self, figures: Figures) -> None:
        self._last_progress = time.perf_counter()
        used = figures.prompt_tokens + figures.generated_tokens
        if used != self._used:
            self._used = used
            self.updates.usage(used, self.engine.context_length)
