"""One prompt turn: render, generate, route what the model says, run its tool calls, until it returns.

The only place where the ledger, the engine, Harmony's events and the client's updates meet. Knows neither how a token
is made nor how a line is written.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from gptoss_acp.conversation.compaction import CompactionError, Compactor
from gptoss_acp.conversation.model import load
from gptoss_acp.engine.api import Constraint, Figures, Model, PromptTooLongError, Sampling, Trace, Usage
from gptoss_acp.harmony import render
from gptoss_acp.harmony.parser import Event, MessageEnded, MessageStarted, Parser, RecipientLost, Stopped, TextDelta
from gptoss_acp.ledger import Entry, tool_result
from gptoss_acp.protocol.face import TurnCancelledError
from gptoss_acp.shielding import unharmed
from gptoss_acp.tools.runner import CANCELLED, AnnouncedCall, Runner
from gptoss_acp.vocabulary import STOP_IDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gptoss_acp.conversation.journal import Journal
    from gptoss_acp.conversation.thinking import Thinking
    from gptoss_acp.ledger import Ledger
    from gptoss_acp.protocol.shapes import Channel
    from gptoss_acp.protocol.updates import Updates

log = logging.getLogger(__name__)

StopReason = Literal["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"]

PROGRESS_SECONDS = 1.0

MOST_TRIES = 3
"""Samplings of one reply that come to neither a call nor an answer, before an answer is begun for the model."""

RECIPIENT_LOST = "Error: the call names no tool, so nothing was done. Write it again with to= and the tool's name."


@dataclass(slots=True)
class Outcome(Usage):
    """How a turn ended and what its model calls took together."""

    stop_reason: StopReason = "end_turn"
    thought_tokens: int = 0
    first_token_seconds: float | None = None
    first_visible_seconds: float | None = None
    notice: str | None = None


@dataclass(slots=True)
class Reply:
    """What one model call came to: a tool call to run, an answer, a preamble, or nothing.

    `recipient_lost`: it was meant as a call, but names no tool.
    `stopped`: it had to be stopped, for it spoke as somebody else or said the same thing over and over.
    `limit_reached`: the tokens ran out before it had said all.
    """

    call: MessageEnded | None = None
    answered: bool = False
    preamble: bool = False
    recipient_lost: bool = False
    stopped: bool = False
    limit_reached: bool = True

    @property
    def came_to_something(self) -> bool:
        """Whether the turn goes on from it, or ends with it; after a preamble alone the task is not done."""
        return bool(self.call) or self.answered or self.limit_reached


@dataclass(slots=True)
class Turn:
    """One turn of a session, whose ledger already holds the user's message; `before_call` precedes each model call."""

    journal: Journal
    engine: Model
    updates: Updates
    runner: Runner
    compactor: Compactor
    thinking: Thinking
    sampling: Sampling
    max_requests: int
    constraint: Constraint | None = None
    stop_repetition: bool = True
    trace: Trace | None = None
    before_call: Callable[[], None] = lambda: None
    outcome: Outcome = field(default_factory=Outcome)
    _started: float = field(default_factory=time.perf_counter)
    _visible: bool = False
    _message_id: str = ""
    _channel: Channel | None = None
    _last_progress: float = 0.0
    _used: int = -1
    _message_tokens: int = 0
    _call: AnnouncedCall | None = None
    _unanswered: MessageEnded | None = None
    _compactable: bool = True

    @property
    def ledger(self) -> Ledger:
        return self.journal.ledger

    async def run(self) -> Outcome:
        """Run to the end. A cancelled turn ends as `cancelled`, once the engine has let go of it.

        Raises:
            PromptTooLongError: the context does not hold the user's message, which is dropped.
            EngineError: the model could not be loaded, or failed.
        """
        try:
            await load(self.engine, self.updates)
            self.runner.limit_results(self.engine.context_length)
            self.outcome.stop_reason = await self._converse()
        except (asyncio.CancelledError, TurnCancelledError):
            self.outcome.stop_reason = "cancelled"
        except PromptTooLongError:
            self.ledger.drop_unanswered()
            raise
        finally:
            self._settle_call()
            self.ledger.end_turn()
            self._show_used(self.ledger.length)
            self.engine.read_ahead(self.ledger.tokens())
        return self.outcome

    async def _converse(self) -> StopReason:
        for _ in range(self.max_requests):
            self.before_call()
            await self._make_room()
            reply = await self._reply()
            if reply.call is not None:
                await self._call_tool(reply.call)
                continue
            if not (reply.answered or reply.preamble):
                self.outcome.notice = "The model ended its turn without an answer."
            return "max_tokens" if reply.limit_reached else "end_turn"
        return "max_turn_requests"

    async def _reply(self) -> Reply:
        """Sample until the model calls a tool or answers; when it will not, begin an answer for it.

        What came to nothing does not stay, but for the last reasoning, from which the answer is to come.
        """
        preamble = False
        for again in range(MOST_TRIES):
            before = list(self.ledger.entries)
            reply = await self._respond(again=again)
            preamble = preamble or reply.preamble
            if reply.came_to_something:
                return reply
            if reply.recipient_lost:
                self.ledger.add_reprimand(RECIPIENT_LOST)
            elif not reply.preamble and again < MOST_TRIES - 1:
                self.ledger.entries = before
            self.journal.keep()
        answer = await self._respond(render.FINAL_START)
        answer.preamble = preamble
        return answer

    async def _make_room(self) -> None:
        """Compact the conversation if the context is nearly full. If that fails, go on as long as it fits."""
        if self._compactable and self.compactor.due:
            try:
                await self.compactor.compact(self.outcome)
                await self.journal.commit()
            except CompactionError as error:
                log.warning("the conversation was not compacted: %s", error)
                self._compactable = False

    async def _call_tool(self, message: MessageEnded) -> None:
        assert self._call is not None
        result = await self._call.run(message.text)
        # What has been done is told, whatever comes meanwhile.
        await unharmed(self._answer_call(message, result))
        await self.journal.commit()

    async def _answer_call(self, message: MessageEnded, result: str) -> None:
        def told() -> Entry:
            return tool_result(message, self.compactor.fitted(result))

        # In a thread, for encoding takes some 40 ms for 100,000 characters.
        self.ledger.entries.append(await asyncio.to_thread(told))
        self._call = self._unanswered = None

    def _settle_call(self) -> None:
        """End a tool call that was cut short or cancelled.

        One that the model had finished stays in the ledger, with the answer that the user cancelled it: it may have
        done something already, which the model should not take for undone.
        """
        if self._call is not None:
            self._call.abandon()
            self._call = None
        if self._unanswered is not None:
            self.ledger.add_tool_result(self._unanswered, CANCELLED)
            self._unanswered = None

    def _sampling(self, again: int) -> Sampling:
        """Return how to sample for the first time, or `again` after so many times: not the same once more."""
        if not again:
            return self.sampling
        seed = self.sampling.seed
        return replace(
            self.sampling, temperature=self.sampling.temperature or 1.0, seed=None if seed is None else seed + again
        )

    async def _respond(self, given: Sequence[int] = (), again: int = 0) -> Reply:
        """Generate until the model stops, a limit is reached or it must be stopped; `given` is put in its mouth."""
        prompt = [*self.ledger.prompt(), *given]
        parser = Parser(self.runner.names, stop_repetition=self.stop_repetition)
        reply = Reply()
        self._message_tokens = 0
        for token in given:
            self._take(parser.feed(token), reply)
        if self.trace:
            self.trace.prompt(prompt)
        generation = self.engine.generate(prompt, self._sampling(again), (self.ledger.prefix_length,), self.constraint)
        try:
            self._show_progress(generation.figures)
            async for token in generation:
                self._note(token)
                self._take(parser.feed(token), reply)
                reply.limit_reached = token not in STOP_IDS
                if reply.call or reply.recipient_lost or reply.stopped:
                    reply.limit_reached = False
                    break
                if self.journal.unsafe:
                    await self.journal.commit()
                self._show_work(generation.figures)
                await self.updates.drain()
        finally:
            await generation.aclose()
            self._take(parser.finish(), reply)
            self.outcome.add(generation.figures)
            self._show_progress(generation.figures)
        return reply

    def _take(self, events: list[Event], reply: Reply) -> None:
        """Show what is meant for the user, keep what has ended, and note in `reply` what it comes to."""
        for event in events:
            match event:
                case MessageStarted():
                    self._visible = event.visible
                    self._message_id = str(uuid.uuid4())
                    self._channel = "final" if event.channel == "final" else "commentary"
                    if event.recipient is not None:
                        self._call = self.runner.announce(event.recipient)
                    elif self._visible:
                        self.journal.begun(event.channel, self._message_id)
                    else:
                        self.thinking.begin(self._message_id)
                case TextDelta():
                    if self._visible:
                        self._show(event.text)
                case MessageEnded():
                    self._visible = False
                    self._keep(event, reply)
                    self._message_tokens = 0
                case RecipientLost():
                    reply.recipient_lost = True
                case Stopped():
                    reply.stopped = True

    def _keep(self, message: MessageEnded, reply: Reply) -> None:
        if message.recipient is None:
            self._note_said(message, reply)
        elif message.complete:
            reply.call = self._unanswered = message
        else:
            self._settle_call()
        self.ledger.add_sampled(message)
        self.journal.keep()

    def _note_said(self, message: MessageEnded, reply: Reply) -> None:
        if message.channel == "analysis":
            self.outcome.thought_tokens += self._message_tokens
            self.thinking.end(self._message_tokens)
        elif message.text.strip():
            reply.answered = reply.answered or message.channel == "final"
            reply.preamble = reply.preamble or message.channel == "commentary"

    def _note(self, token: int) -> None:
        self._message_tokens += 1
        if self.outcome.first_token_seconds is None:
            self.outcome.first_token_seconds = time.perf_counter() - self._started
        if self.trace:
            self.trace.token(token)

    def _show(self, text: str) -> None:
        if self.outcome.first_visible_seconds is None:
            self.outcome.first_visible_seconds = time.perf_counter() - self._started
        self.updates.message_chunk(self._message_id, text, self._channel)

    def _show_work(self, figures: Figures) -> None:
        # While nothing of it can be shown, the growing usage tells the user that the model is at work.
        if not self._visible and time.perf_counter() - self._last_progress >= PROGRESS_SECONDS:
            self._show_progress(figures)

    def _show_progress(self, figures: Figures) -> None:
        self._last_progress = time.perf_counter()
        self._show_used(figures.prompt_tokens + figures.generated_tokens)

    def _show_used(self, tokens: int) -> None:
        if tokens != self._used and self.engine.context_length:
            self._used = tokens
            self.updates.usage(tokens, self.engine.context_length)
