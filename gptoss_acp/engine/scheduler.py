"""What one model works on next: continuous batching of every session's generations.

One step decodes one token of every running sequence and reads on, for a moment, in the prompts of the waiting ones.
When nothing runs, it reads ahead what the next prompts will begin with. Knows generations, token ids, caches and the
clock. Knows nothing about other models. Imported on the engine's thread only.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from gptoss_acp.engine import memory, snapshot_files
from gptoss_acp.engine.api import BuildMatcher, EngineError, EngineOptions, PromptTooLongError
from gptoss_acp.engine.batch import Batch, Halted
from gptoss_acp.engine.caches import Cache, Windows, rewound, window_tokens, windows
from gptoss_acp.engine.prefixes import PrefixCache
from gptoss_acp.engine.ranks.group import ALONE, Ranks
from gptoss_acp.engine.read_ahead import ReadAheadQueue
from gptoss_acp.engine.sampling import Sampler, make_sampler, unsampled

if TYPE_CHECKING:
    from gptoss_acp.engine.generation import Sink
    from gptoss_acp.engine.messages import Submit
    from gptoss_acp.engine.weights import LoadedModel

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Sequence:
    """A generation on its way through the batch.

    `postponed` is a snapshot that memory did not hold beside the batch, and is made when this sequence leaves that: the
    tokens, and what cannot be had from the cache later.
    """

    generation: Sink
    submitted: float
    token_limit: int
    sampler: Sampler
    processors: list[Any]
    first_token: float = 0.0
    postponed: tuple[list[int], Windows] | None = None

    @property
    def length(self) -> int:
        """Tokens of its context, as far as it is known."""
        figures = self.generation.figures
        return figures.prompt_tokens + figures.generated_tokens


class Scheduler:
    """Runs generations on one model that is in memory. Every method is called on the engine's thread."""

    def __init__(
        self, model: LoadedModel, options: EngineOptions, build_matcher: BuildMatcher, ranks: Ranks = ALONE
    ) -> None:
        self._model = model
        self._options = options
        self._build_matcher = build_matcher
        self._ranks = ranks
        self.context_length = 0
        self._batch = Batch(model.model, options.stop_tokens, ranks)
        empty = self._batch.new_cache()
        self._window = window_tokens(empty)
        self._prefixes = PrefixCache(empty, 0, snapshot_files.tier(model.digest, options.disk_gb), ranks)
        self._cost = ranks.prefill_cost(len(empty))
        self._ahead = ReadAheadQueue(self._prefixes, self._cost, self._cache_nbytes)
        self._running: dict[int, Sequence] = {}
        self._paused: dict[Sink, tuple[Sequence, Halted]] = {}

    def submit(self, generation: Sink) -> None:
        """Let a generation read its prompt from the nearest snapshot on, and then decode.

        Raises:
            EngineError: its context does not fit, at all or beside what runs.
        """
        if not generation.begin():
            generation.end()
            return
        request = generation.request
        self._check_room(len(request.prompt))
        self._ahead.hand_over(self._free_memory)
        prompt = list(request.prompt)
        cached, cache = self._prefixes.find(prompt, self._free_memory - self._cache_nbytes(len(prompt)))
        generation.figures.cached_tokens = cached
        ends = sorted({end for end in (*request.branches, len(prompt) - 1) if cached < end < len(prompt)})
        segments = [prompt[start:end] for start, end in pairwise([cached, *ends, len(prompt)])]
        room = self.context_length - len(prompt)
        limit = min(request.sampling.max_tokens or room, room)
        sampler, processors = self._how_to_sample(request)
        sequence = Sequence(generation, time.perf_counter(), limit, sampler, processors)
        self._insert(sequence, segments, limit, prompt[:cached], cache)

    def cancel(self, generation: Sink) -> None:
        """Remove a generation, wherever it is; it ends once nothing works on it any more."""
        if generation in self._paused:
            sequence, halted = self._paused.pop(generation)
            self._keep_postponed(sequence, halted.cache)
        else:
            uid = next((uid for uid, sequence in self._running.items() if sequence.generation is generation), None)
            if uid is None:
                return
            sequence = self._running.pop(uid)
            if self._ranks.size > 1 and self._batch.amid_chunk:
                sequence.postponed = None  # to take it would compute the rest of the chunk, on some ranks only
            cache = self._batch.snapshot(uid)[1] if sequence.postponed else []
            self._batch.remove(uid)
            self._keep_postponed(sequence, cache)
        generation.end()
        self._rest()

    def resume(self, generation: Sink) -> None:
        """Let a paused generation go on exactly where it was."""
        if generation in self._paused:
            sequence, halted = self._paused.pop(generation)
            remaining = sequence.token_limit - generation.figures.generated_tokens
            self._insert(sequence, [[halted.last_token]], remaining, halted.tokens, halted.cache)

    def read_ahead(self, tokens: tuple[int, ...]) -> None:
        """Prefill `tokens` when there is nothing else to do, for the prompts that will begin with them."""
        if len(tokens) < self.context_length and not self._ranks.least(self._prefixes.covers(tokens)):
            self._ahead.add(tokens)

    def step(self) -> None:
        """Decode one token of every running sequence and read on in the prompts of the waiting ones, or read ahead."""
        try:
            self._heed_readers()
            if self._running:
                self._advance()
            elif self._ahead.jobs:
                self._ahead.step(self._batch, self._free_memory)
                self._prefixes.shrink(self._free_memory - self._ahead.nbytes)
            else:
                return
        except Exception as error:
            if self._ranks.size > 1:
                raise  # who has failed in the middle of a step is not where the others are
            log.exception("the engine failed")
            self._fail(EngineError(f"The engine failed: {error}. The next prompt starts afresh."))
        self._rest()

    def take_memory(self, budget: int) -> None:
        """Keep contexts, running and kept, in `budget` bytes, and none longer than goes in there once."""
        self._prefixes.budget = budget
        fitting = max(0, budget // self._model.bytes_per_token - self._window)
        wanted = self._options.context_length or self._model.context_length
        self.context_length = min(self._model.context_length, wanted, fitting)
        self._prefixes.shrink(self._free_memory)

    def close(self) -> None:
        """Write nothing to the disk after what is on its way."""
        self._prefixes.close()

    # What it is at

    @property
    def generating(self) -> bool:
        return bool(self._running)

    @property
    def busy(self) -> bool:
        return bool(self._running or self._ahead.jobs)

    @property
    def at_work(self) -> bool:
        """Whether a generation is on its way, running or paused."""
        return bool(self._running or self._paused)

    @property
    def weights(self) -> int:
        """Bytes of the model's weights."""
        return int(self._model.nbytes)

    # Generating

    def _insert(
        self, sequence: Sequence, segments: list[list[int]], limit: int, read: list[int], cache: Cache | None
    ) -> None:
        uid = self._batch.insert(
            segments, limit, sampler=sequence.sampler, processors=sequence.processors, read=read, cache=cache
        )
        self._running[uid] = sequence

    def _how_to_sample(self, request: Submit) -> tuple[Sampler, list[Any]]:
        """Return what samples, and what the logits pass through before: of several ranks on the first only."""
        with self._ranks.together():
            if not self._ranks.leads:
                return unsampled, []
            processors = [] if request.constraint is None else [self._build_matcher(request.constraint, request.prompt)]
            return make_sampler(request.sampling, self._model), processors

    def _heed_readers(self) -> None:
        """Pause what is not read, and cancel what is closed: the message to do so waits while another model loads."""
        for uid, sequence in list(self._running.items()):
            if sequence.generation.closing:
                self.cancel(sequence.generation)
            elif sequence.generation.overfull:
                self._pause(uid, sequence)
        for generation in list(self._paused):
            if generation.closing:
                self.cancel(generation)

    def _advance(self) -> None:
        for response in self._batch.step(self._cost.chunk()):
            self._deliver(response)
        if self._batch.amid_chunk:
            self._read_on()
        self._prefixes.shrink(self._free_memory)

    def _read_on(self) -> None:
        """Compute as much of the chunk that has been begun as a moment holds."""
        if chunk := self._batch.read_on(self._cost.layers(self._batch.chunk_tokens)):
            self._cost.note(chunk.tokens, chunk.seconds, chunk.longest)
            for uid in chunk.segment_ends:
                self._keep_segment(uid)

    def _deliver(self, response: Any) -> None:
        sequence = self._running[response.uid]
        self._put(sequence, response.token)
        if response.finish_reason is not None:
            del self._running[response.uid]
            if response.token in self._options.branch_tokens:
                self._prefixes.add(response.all_tokens, response.prompt_cache, self._free_memory)
            else:
                self._keep_postponed(sequence, response.prompt_cache)
            sequence.generation.end()

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
            self._keep_postponed(sequence, halted.cache)
            generation.end()
        else:
            self._paused[generation] = (sequence, halted)
            generation.pause()

    def _keep_segment(self, uid: int) -> None:
        """Keep what a sequence has read, or the little that can be had only now, and the rest when it leaves."""
        tokens, cache = self._batch.snapshot(uid)
        if not self._prefixes.add(tokens, cache, self._free_memory):
            self._running[uid].postponed = (list(tokens), windows(cache))

    def _keep_postponed(self, sequence: Sequence, cache: Cache) -> None:
        """Keep, of the cache of a sequence that has left the batch, what there was no room for before."""
        if sequence.postponed is not None:
            tokens, held = sequence.postponed
            self._prefixes.add(tokens, rewound(cache, held, len(tokens)), self._free_memory)

    def _fail(self, error: EngineError) -> None:
        for sequence in self._running.values():
            sequence.generation.end(error)
        self._running.clear()
        self._ahead.jobs.clear()
        self._batch = Batch(self._model.model, self._options.stop_tokens, self._ranks)

    def _rest(self) -> None:
        if not self._running:
            memory.give_back()

    # Memory

    def _cache_nbytes(self, tokens: int) -> int:
        """Bytes of the cache of one sequence of `tokens`."""
        return int((tokens + self._window) * self._model.bytes_per_token)

    @property
    def _free_memory(self) -> int:
        """Bytes for snapshots beside the caches that run, as long as these are known to become, or are paused."""
        paused = sum(layer.nbytes for _, halted in self._paused.values() for layer in halted.cache)
        running = sum(self._cache_nbytes(sequence.length) for sequence in self._running.values())
        return self._prefixes.budget - max(running, self._batch.nbytes) - int(paused)

    def _check_room(self, prompt_tokens: int) -> None:
        """Refuse a prompt that does not fit, at all or beside what runs, before the system runs out."""
        if prompt_tokens >= self.context_length:  # another model may have taken memory since it was let in
            raise PromptTooLongError(prompt_tokens, self.context_length)
        needed = self._cache_nbytes(prompt_tokens)
        free, budget = self._free_memory, self._prefixes.budget
        if needed > free:
            raise EngineError(
                f"This prompt of {prompt_tokens} tokens needs about {memory.gb(needed)} of memory for its context; "
                f"{memory.gb(budget - free)} of {memory.gb(budget)} are in use. "
                "Wait for other sessions, start a new session, or raise --memory-gb."
            )
