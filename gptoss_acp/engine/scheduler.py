"""Which sequence the model works on next: continuous batching of every session's generations.

One step decodes one token of every running sequence and prefills one chunk of the waiting ones (mlx-lm's
BatchGenerator). When nothing runs, it reads ahead what the next prompts will begin with. Knows token ids, caches and
the clock. Imported on the engine's thread only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from gptoss_acp.engine import checkpoints, memory, snapshot_files
from gptoss_acp.engine.api import (
    BuildMatcher,
    EngineError,
    EngineOptions,
    Generation,
    LoadProgress,
    PromptTooLongError,
)
from gptoss_acp.engine.batch import Batch, Cache, Halted
from gptoss_acp.engine.prefill_rate import PrefillRate
from gptoss_acp.engine.prefixes import PrefixCache
from gptoss_acp.engine.read_ahead import ReadAheadQueue
from gptoss_acp.engine.sampling import Sampler, make_sampler
from gptoss_acp.engine.weights import LoadedModel, load

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Sequence:
    """A generation on its way through the batch."""

    generation: Generation
    submitted: float
    token_limit: int
    sampler: Sampler
    processors: list[Any]
    first_token: float = 0.0


class Scheduler:
    """Runs generations on one model. Every method is called on the engine's thread.

    `of_all_models` are the schedulers that share the machine, to which this one adds itself.
    """

    def __init__(self, options: EngineOptions, build_matcher: BuildMatcher, of_all_models: list[Scheduler]) -> None:
        self._options = options
        self._build_matcher = build_matcher
        self._of_all_models = of_all_models
        self._of_all_models.append(self)
        self._folder: Path | None = None
        self._loaded: LoadedModel | None = None
        self.context_length = 0
        self._running: dict[int, Sequence] = {}
        self._paused: dict[Generation, tuple[Sequence, Halted]] = {}
        self._rate = PrefillRate()
        self._ahead: ReadAheadQueue | None = None

    @property
    def loaded(self) -> bool:
        return self._loaded is not None

    @property
    def generating(self) -> bool:
        return bool(self._running)

    @property
    def busy(self) -> bool:
        return bool(self._running or self._reading_ahead)

    @property
    def at_work(self) -> bool:
        """Whether a generation is on its way, running or paused."""
        return bool(self._running or self._paused)

    @property
    def idle(self) -> bool:
        return not (self.at_work or self._reading_ahead)

    @property
    def _reading_ahead(self) -> bool:
        return self._ahead is not None and bool(self._ahead.jobs)

    def load(self, folder: Path | None, report: Callable[[LoadProgress], None] = lambda _: None) -> None:
        """Load the checkpoint in `folder` (None: the bundled one); `report` is told how far that is.

        Idle models make room for this one, and those that generate go on meanwhile. Then `context_length` is known.

        Raises:
            EngineError: another model is at work, and this one does not fit beside it.
            ValueError, OSError: the folder does not hold what its config says.
        """
        if self._loaded is not None:  # `submit` was first
            return
        started = time.perf_counter()
        self._folder = folder
        weights = checkpoints.nbytes(folder)
        self._clear_the_way(weights)
        self._share_memory(coming=weights)

        def between(progress: LoadProgress) -> None:
            report(progress)
            for other in self._of_all_models:
                if other.at_work:
                    other.step()

        try:
            loaded = load(folder, between)
        except BaseException:
            self._share_memory()
            raise
        self._batch = Batch(loaded.model, self._options.stop_tokens)
        self._prefixes = PrefixCache(
            self._batch.new_cache(), 0, snapshot_files.tier(loaded.digest, self._options.disk_gb)
        )
        self._ahead = ReadAheadQueue(self._prefixes, self._rate)
        self._loaded = loaded
        self._share_memory()
        seconds = time.perf_counter() - started
        log.info("loaded %s in %.2f s, for contexts of %d tokens", folder or "tiny", seconds, self.context_length)

    def unload(self) -> None:
        """Give the memory of a model that generates nothing back; the next generation loads it again."""
        if self._loaded is not None and not self.at_work:
            log.info("unloading the idle model")
            self._prefixes.close()
            self._loaded = self._ahead = None
            del self._batch, self._prefixes
            memory.give_back()
            self._share_memory()

    def submit(self, generation: Generation) -> None:
        """Queue a generation for prefill, from the nearest snapshot on."""
        try:
            if self._loaded is None:
                self.load(self._folder)
            if not generation.begin():
                generation.end()
                return
            self._check_room(len(generation.prompt))
            assert self._ahead is not None
            self._ahead.hand_over(generation.prompt)
            self._submit(generation)
        except EngineError as error:
            generation.end(error)
        except Exception as error:
            log.exception("a generation could not start")
            generation.end(EngineError(f"The engine failed: {error}"))

    def cancel(self, generation: Generation) -> None:
        """Remove a generation, wherever it is; it ends once nothing works on it any more."""
        if self._paused.pop(generation, None) is None:
            uid = next((uid for uid, sequence in self._running.items() if sequence.generation is generation), None)
            if uid is None:
                return
            self._batch.remove(uid)
            del self._running[uid]  # afterwards: if the batch has failed, the next step ends all that runs
        generation.end()
        self._rest()

    def resume(self, generation: Generation) -> None:
        """Let a paused generation go on exactly where it was."""
        if generation in self._paused:
            sequence, halted = self._paused.pop(generation)
            remaining = sequence.token_limit - generation.figures.generated_tokens
            self._insert(sequence, [[halted.last_token]], remaining, halted.tokens, halted.cache)

    def read_ahead(self, tokens: tuple[int, ...]) -> None:
        """Prefill `tokens` when there is nothing else to do, for the prompts that will begin with them."""
        if self._ahead is not None and len(tokens) < self.context_length and not self._prefixes.covers(tokens):
            self._ahead.add(tokens)

    def step(self) -> None:
        """Decode one token of every running sequence and prefill one chunk of the waiting ones, or read ahead."""
        if self._loaded is None:
            return
        try:
            self._let_go()
            if self._running:
                self._advance()
            elif self._ahead is not None and self._ahead.jobs:
                self._ahead.step(self._batch)
                self._prefixes.shrink(self._free_memory)
            else:
                return
        except Exception as error:
            log.exception("the engine failed")
            self._fail(EngineError(f"The engine failed: {error}. The next prompt starts afresh."))
        self._rest()

    # Generating

    def _let_go(self) -> None:
        """Cancel what is closed: the command to do so waits while another model loads."""
        for generation in [*(sequence.generation for sequence in self._running.values()), *self._paused]:
            if generation.closing:
                self.cancel(generation)

    def _submit(self, generation: Generation) -> None:
        assert self._loaded is not None
        prompt = list(generation.prompt)
        cached, cache = self._prefixes.find(prompt)
        generation.figures.cached_tokens = cached
        # The running cache, and its snapshots, of which there are some already.
        self._prefixes.shrink(self._free_memory - (2 * len(prompt) - cached) * self._loaded.bytes_per_token)
        ends = sorted({end for end in (*generation.branches, len(prompt) - 1) if cached < end < len(prompt)})
        segments = [prompt[start:end] for start, end in pairwise([cached, *ends, len(prompt)])]
        room = self.context_length - len(prompt)
        limit = min(generation.sampling.max_tokens or room, room)
        sampler = make_sampler(generation.sampling, self._loaded)
        constraint = generation.constraint
        processors = [] if constraint is None else [self._build_matcher(constraint, prompt)]
        sequence = Sequence(generation, time.perf_counter(), limit, sampler, processors)
        self._insert(sequence, segments, limit, prompt[:cached], cache)

    def _insert(
        self, sequence: Sequence, segments: list[list[int]], limit: int, read: list[int], cache: Cache | None
    ) -> None:
        uid = self._batch.insert(
            segments, limit, sampler=sequence.sampler, processors=sequence.processors, read=read, cache=cache
        )
        self._running[uid] = sequence

    def _advance(self) -> None:
        prefilling = sum(1 for sequence in self._running.values() if not sequence.first_token)
        step = self._batch.step(self._rate.chunk(max(1, prefilling)))
        if step.prompt_tokens:
            self._rate.note(step.prompt_tokens, step.prompt_seconds)
        for uid in step.segment_ends:
            self._keep(*self._batch.snapshot(uid))
        for response in step.sampled:
            self._deliver(response)

    def _deliver(self, response: Any) -> None:
        sequence = self._running[response.uid]
        self._put(sequence, response.token)
        if response.finish_reason is not None:
            del self._running[response.uid]
            if response.token in self._options.branch_tokens:
                self._keep(response.all_tokens, response.prompt_cache)
            sequence.generation.end()
        elif sequence.generation.overfull:
            self._pause(response.uid, sequence)

    def _put(self, sequence: Sequence, token: int) -> None:
        generation, figures = sequence.generation, sequence.generation.figures
        now = time.perf_counter()
        if not sequence.first_token:
            sequence.first_token = now
            figures.first_token_seconds = now - sequence.submitted
        figures.generated_tokens += 1
        figures.decode_seconds = now - sequence.first_token
        generation.put(token)

    def _pause(self, uid: int, sequence: Sequence) -> None:
        halted = self._batch.halt(uid)
        del self._running[uid]
        self._put(sequence, halted.last_token)
        generation = sequence.generation
        at_limit = generation.figures.generated_tokens == sequence.token_limit
        if at_limit or halted.last_token in self._options.stop_tokens:
            generation.end()
        else:
            self._paused[generation] = (sequence, halted)
            generation.pause()

    def _keep(self, tokens: list[int], cache: Cache) -> None:
        self._prefixes.add(tokens, cache)
        self._prefixes.shrink(self._free_memory)

    def _fail(self, error: EngineError) -> None:
        for sequence in self._running.values():
            sequence.generation.end(error)
        self._running.clear()
        if self._ahead is not None:
            self._ahead.jobs.clear()
        if self._loaded is not None:
            self._batch = Batch(self._loaded.model, self._options.stop_tokens)

    def _rest(self) -> None:
        if not self._running:
            memory.give_back()

    # Memory

    def _clear_the_way(self, weights: int) -> None:
        """Unload idle models until one of `weights` bytes fits beside those that stay."""
        for other in self._of_all_models:
            if memory.fits(weights, self._resident()):
                return
            other.unload()
        if (resident := self._resident()) and not memory.fits(weights, resident):
            raise EngineError(
                f"It needs about {memory.gb(memory.needed(weights))} of memory, and another model is at work that "
                f"takes {memory.gb(resident)}. Try again when that has finished."
            )

    def _resident(self) -> int:
        """Return the bytes of all weights that are in memory."""
        return sum(scheduler._loaded.nbytes for scheduler in self._of_all_models if scheduler._loaded is not None)

    def _share_memory(self, coming: int = 0) -> None:
        """Give each model in memory an equal part of what there is for contexts, and one of `coming` bytes too."""
        resident = self._resident() + coming
        present = [scheduler for scheduler in self._of_all_models if scheduler.loaded]
        for scheduler in present:
            scheduler._take_memory(memory.budget(resident, self._options.memory_gb) // (len(present) + bool(coming)))
        memory.set_limits(resident, self._options.wired_gb)

    def _take_memory(self, budget: int) -> None:
        """Keep contexts, running and kept, in `budget` bytes, and none longer than goes in there with its snapshots."""
        assert self._loaded is not None
        self._prefixes.budget = budget
        fitting = budget // (2 * self._loaded.bytes_per_token)
        wanted = self._options.context_length or self._loaded.context_length
        self.context_length = min(self._loaded.context_length, wanted, fitting)
        self._prefixes.shrink(self._free_memory)

    @property
    def _free_memory(self) -> int:
        """Bytes for snapshots beside the caches that run or are paused."""
        paused = sum(layer.nbytes for _, halted in self._paused.values() for layer in halted.cache)
        return self._prefixes.budget - self._batch.nbytes - int(paused)

    def _check_room(self, prompt_tokens: int) -> None:
        """Refuse a prompt that does not fit, at all or beside what runs, before the system runs out.

        Raises:
            EngineError: it does not fit.
        """
        assert self._loaded is not None
        if prompt_tokens >= self.context_length:  # another model may have taken memory since it was let in
            raise PromptTooLongError(prompt_tokens, self.context_length)
        needed = 2 * prompt_tokens * self._loaded.bytes_per_token
        if needed > self._free_memory:
            budget = self._prefixes.budget
            raise EngineError(
                f"This prompt of {prompt_tokens} tokens needs about {memory.gb(needed)} of memory for its context; "
                f"{memory.gb(budget - self._free_memory)} of {memory.gb(budget)} are in use. "
                "Wait for other sessions, start a new session, or raise --memory-gb."
            )
