"""One rank at work: what rank 0 does and tells, and what the others do as they are told.

Rank 0 tells each thing before it does it, so the others are at most a moment behind, and nobody waits for anybody but
in the model's own sums. Knows messages, and the order in which things are done. Knows nothing about processes.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from gptoss_acp.engine.api import EngineError, Figures
from gptoss_acp.engine.driver import LONGEST_REASON
from gptoss_acp.engine.messages import (
    Cancel,
    Close,
    Load,
    Message,
    Pause,
    ReadAhead,
    Resume,
    Status,
    Submit,
    Unload,
)
from gptoss_acp.engine.ranks.group import SeveralRanks
from gptoss_acp.engine.ranks.reports import (
    Begun,
    Changed,
    Ended,
    Learn,
    Loaded,
    Meanwhile,
    Paused,
    Step,
    Token,
)
from gptoss_acp.engine.residency import Residency

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gptoss_acp.engine.api import BuildMatcher, EngineOptions


class RankGeneration:
    """A generation whose reader is in another process; what hangs on that one changes with a message only."""

    def __init__(self, request: Submit, say: Callable[[Any], None]) -> None:
        self.request = request
        self.figures = Figures(prompt_tokens=len(request.prompt))
        self.closing = False
        self.overfull = False
        self.ended = False
        self._say = say

    def begin(self) -> bool:
        self._say(Begun(self.request.number))
        return not self.closing

    def put(self, token: int) -> None:
        self._say(Token(self.request.number, token))

    def pause(self) -> None:
        self.overfull = False
        self._say(Paused(self.request.number))

    def end(self, error: EngineError | None = None) -> None:
        if not self.ended:
            self.ended = True
            self._say(Ended(self.request.number, self.figures, None if error is None else str(error)))


class Rank:
    """What every rank does alike. `say` is told what the launched process is to know, on rank 0."""

    def __init__(
        self, group: Any, options: EngineOptions, build_matcher: BuildMatcher, say: Callable[[Any], None]
    ) -> None:
        self._say = say
        self._generations: dict[int, RankGeneration] = {}
        self.ranks = SeveralRanks(group, self._tell_cost)
        statuses = _Statuses(say)
        self.models = Residency(options, build_matcher, statuses, self.ranks, self._meanwhile)

    def obey(self, message: Message) -> None:
        """Do what a message says, as every rank does at this point."""
        match message:
            case Load():
                self._load(message)
            case Submit():
                self._submit(message)
            case Cancel(number=number) | Pause(number=number) | Resume(number=number):
                if generation := self._generations.get(number):
                    self._steer(message, generation)
            case ReadAhead(model=model, tokens=tokens):
                self.models.read_ahead(model, tokens)
            case Unload():
                self.models.unload_idle()
            case Close():
                self.models.close()

    def _steer(self, message: Cancel | Pause | Resume, generation: RankGeneration) -> None:
        match message:
            case Cancel():
                generation.closing = True  # it may not have begun yet, but wait for its model
                self.models.cancel(generation)
            case Pause():
                generation.overfull = True
            case Resume():
                self.models.resume(generation)

    def _load(self, message: Load) -> None:
        failure = None
        try:
            self.models.load(message.model, self.models.find(message.model))
        except EngineError as error:  # which all have; whoever fails alone ends
            failure = str(error)[:LONGEST_REASON]
        self._say(Loaded(message.model, failure))

    def _submit(self, request: Submit) -> None:
        self._generations = {number: one for number, one in self._generations.items() if not one.ended}
        generation = self._generations[request.number] = RankGeneration(request, self._say)
        try:
            self.models.submit(generation)
        except EngineError as error:
            generation.end(error)

    def _tell_cost(self, number: int, tokens: int, seconds: float, longest: float) -> None:
        """Let the others know what a chunk has taken."""

    def _meanwhile(self) -> None:
        """Do what can't wait for the end of a load."""
        raise NotImplementedError


class Leader(Rank):
    """Rank 0: obeys what comes from the launched process, decides when there is a step, and `tell`s the others."""

    def __init__(
        self,
        group: Any,
        options: EngineOptions,
        build_matcher: BuildMatcher,
        say: Callable[[Any], None],
        *,
        tell: Callable[[Any], None],
        inbox: queue.SimpleQueue[Message],
    ) -> None:
        super().__init__(group, options, build_matcher, say)
        self._tell = tell
        self._idle_seconds = min(options.idle_minutes * 60, threading.TIMEOUT_MAX)
        self._late: list[Message] = []
        self._inbox = inbox

    def run(self) -> None:
        """Return when a message says to close."""
        while True:
            for message in self._heard():
                self._do(message)
                if isinstance(message, Close):
                    return
            if self.models.busy:
                self._tell(Step())
                self.models.step()

    def _do(self, message: Message) -> None:
        self._tell(_for_others(message))
        self.obey(message)

    def _heard(self) -> Iterator[Message]:
        """Yield what has come, in that order; where there is nothing else to do, at least one message."""
        if not (self._late or self.models.busy):
            try:
                self._late.append(self._inbox.get(timeout=self._idle_seconds))
            except queue.Empty:
                self._late.append(Unload())
        self._late += self._come()
        while self._late:
            yield self._late.pop(0)

    def _come(self) -> Iterator[Message]:
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._inbox.get_nowait()

    def _tell_cost(self, number: int, tokens: int, seconds: float, longest: float) -> None:
        self._tell(Learn(number, tokens, seconds, longest))

    def _meanwhile(self) -> None:
        for message in self._come():
            if isinstance(message, Cancel | Pause | Resume) and not self._awaits_begin(message.number):
                self._do(message)
            else:
                self._late.append(message)
        self._tell(Meanwhile())

    def _awaits_begin(self, number: int) -> bool:
        return any(isinstance(message, Submit) and message.number == number for message in self._late)


class Follower(Rank):
    """Any other rank: does what rank 0 tells, which `told` yields."""

    def __init__(self, group: Any, options: EngineOptions, build_matcher: BuildMatcher, told: Iterator[Any]) -> None:
        super().__init__(group, options, build_matcher, lambda _: None)
        self._told = told

    def run(self) -> None:
        """Return when rank 0 has ended."""
        for what in self._told:
            self._follow(what)
            if isinstance(what, Close):
                return

    def _follow(self, what: Any) -> None:
        match what:
            case Step():
                self.models.step()
            case Learn(number=number, tokens=tokens, seconds=seconds, longest=longest):
                self.ranks.learn(number, tokens, seconds, longest)
            case _:
                self.obey(what)

    def _meanwhile(self) -> None:
        for what in self._told:
            if isinstance(what, Meanwhile):
                return
            self._follow(what)


class _Statuses(dict[str, Status]):
    """What is known of each model, told whenever it changes."""

    def __init__(self, say: Callable[[Any], None]) -> None:
        super().__init__()
        self._say = say

    def __setitem__(self, model: str, status: Status) -> None:
        super().__setitem__(model, status)
        self._say(Changed(model, status, mx.get_active_memory() + mx.get_cache_memory()))


def _for_others(message: Message) -> Message:
    """Return a message without what only rank 0 knows what to do with: it samples, and has the files at this path."""
    match message:
        case Submit():
            return replace(message, constraint=None)
        case Load(model=model):
            return Load(model, None)
        case _:
            return message
