"""Which sequence the model works on next: continuous batching of every session's generations.

One step decodes one token of every running sequence and prefills one chunk of the waiting ones (mlx-lm's
BatchGenerator). When nothing runs, it reads ahead what the next prompts will begin with. Knows token ids, caches and
the clock. Imported on the engine's thread only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator
from mlx_lm.sample_utils import apply_top_p

from gptoss_acp.engine import checkpoints, memory, snapshot_files
from gptoss_acp.engine.api import EngineError, EngineOptions, Generation, LoadProgress, PromptTooLongError, Sampling
from gptoss_acp.engine.prefixes import Cache, PrefixCache
from gptoss_acp.engine.weights import LoadedModel, load

log = logging.getLogger(__name__)

CHUNK_SECONDS = 0.2
"""How long one prefill chunk should last: what a cancel, or another session's next token, waits for at most."""

SMALLEST_CHUNK = 16
LARGEST_CHUNK = 2048
FIRST_CHUNK = 256

Sampler = Callable[[mx.array], mx.array]


@dataclass(eq=False)
class Sequence:
    """A generation on its way through the batch."""

    generation: Generation
    submitted: float
    token_limit: int
    sampler: Sampler
    processors: list[Any]
    first_token: float = 0.0


@dataclass(eq=False)
class Paused:
    """A sequence taken out of the batch: the ids in its cache, and the last one, delivered but not in there yet."""

    sequence: Sequence
    tokens: list[int]
    last_token: int
    cache: Cache


@dataclass(eq=False)
class ReadAhead:
    """Tokens to prefill while nothing else is to do; the first `done` of them are in `cache`."""

    tokens: tuple[int, ...]
    done: int = 0
    cache: Cache | None = None


class Scheduler:
    """Runs generations on one model. Every method is called on the engine's thread.

    `of_all_models` are the schedulers that share the machine, to which this one adds itself.
    """

    def __init__(self, options: EngineOptions, of_all_models: list[Scheduler]) -> None:
        self._options = options
        self._of_all_models = of_all_models
        self._of_all_models.append(self)
        self._folder: Path | None = None
        self._loaded: LoadedModel | None = None
        self.context_length = 0
        self._running: dict[int, Sequence] = {}
        self._paused: dict[Generation, Paused] = {}
        self._ahead: list[ReadAhead] = []
        self._prefill_rate = FIRST_CHUNK / CHUNK_SECONDS

    @property
    def loaded(self) -> bool:
        return self._loaded is not None

    @property
    def generating(self) -> bool:
        return bool(self._running)

    @property
    def busy(self) -> bool:
        return bool(self._running or self._ahead)

    @property
    def at_work(self) -> bool:
        """Whether a generation is on its way, running or paused."""
        return bool(self._running or self._paused)

    @property
    def idle(self) -> bool:
        return not (self.at_work or self._ahead)

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
        self._batch = self._new_batch(loaded)
        self._prefixes = PrefixCache(loaded.model.make_cache(), 0, self._disk_tier(loaded))
        self._loaded = loaded
        self._share_memory()
        seconds = time.perf_counter() - started
        log.info("loaded %s in %.2f s, for contexts of %d tokens", folder or "tiny", seconds, self.context_length)

    def unload(self) -> None:
        """Give the memory of a model that generates nothing back; the next generation loads it again."""
        if self._loaded is not None and not self.at_work:
            log.info("unloading the idle model")
            self._ahead.clear()
            self._batch.close()
            self._prefixes.close()
            self._loaded = None
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
            self._hand_over(generation.prompt)
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
            self._batch.remove([uid])
            del self._running[uid]  # afterwards: if the batch has failed, the next step ends all that runs
        generation.end()
        self._rest()

    def resume(self, generation: Generation) -> None:
        """Let a paused generation go on exactly where it was."""
        paused = self._paused.pop(generation, None)
        if paused is not None:
            remaining = paused.sequence.token_limit - generation.figures.generated_tokens
            self._insert(paused.sequence, [[paused.last_token]], remaining, paused.tokens, paused.cache)

    def read_ahead(self, tokens: tuple[int, ...]) -> None:
        """Prefill `tokens` when there is nothing else to do, for the prompts that will begin with them."""
        if self._loaded is not None and len(tokens) < self.context_length and not self._prefixes.covers(tokens):
            outdated = [job for job in self._ahead if tokens[: len(job.tokens)] == job.tokens]
            self._ahead = [job for job in self._ahead if job not in outdated] + [ReadAhead(tokens)]

    def step(self) -> None:
        """Decode one token of every running sequence and prefill one chunk of the waiting ones, or read ahead."""
        if self._loaded is None:
            return
        try:
            self._let_go()
            if self._running:
                self._advance()
            elif self._ahead:
                self._read_chunk_ahead(self._ahead[0])
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
        processors = [generation.constrain(prompt)] if generation.constrain else []
        sequence = Sequence(generation, time.perf_counter(), limit, sampler, processors)
        self._insert(sequence, segments, limit, prompt[:cached], cache)

    def _insert(
        self, sequence: Sequence, segments: list[list[int]], limit: int, read: list[int], cache: Cache | None
    ) -> None:
        (uid,) = self._batch.insert_segments(
            [segments],
            [limit],
            caches=cache and [cache],
            all_tokens=[read],
            samplers=[sequence.sampler],
            logits_processors=[sequence.processors],
        )
        self._running[uid] = sequence

    def _advance(self) -> None:
        prefilling = sum(1 for sequence in self._running.values() if not sequence.first_token)
        self._set_chunk(int(self._prefill_rate * CHUNK_SECONDS / max(1, prefilling)))
        with self._batch.stats() as stats:
            prompt_responses, responses = self._batch.next()
        if stats.prompt_tokens:
            self._prefill_rate = _smooth(self._prefill_rate, stats.prompt_tokens / max(stats.prompt_time, 1e-6))
        for response in prompt_responses:
            if response.end_of_segment and not response.end_of_prompt:
                self._snapshot(response.uid)
        for response in responses:
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
        # One more token is sampled already. To mlx-lm it will be the prompt to go on from, which it does not yield.
        decoding = self._batch._generation_batch
        last_token = decoding._next_tokens[decoding.uids.index(uid)].item()
        del self._running[uid]
        cache, tokens = self._batch.remove([uid], return_prompt_caches=True)[uid]
        self._put(sequence, last_token)
        generation = sequence.generation
        if last_token in self._options.stop_tokens or generation.figures.generated_tokens == sequence.token_limit:
            generation.end()
        else:
            self._paused[generation] = Paused(sequence, tokens, last_token, cache)
            generation.pause()

    def _snapshot(self, uid: int) -> None:
        cache, tokens = self._batch.extract_cache([uid])[uid]
        self._keep(tokens, cache)

    def _keep(self, tokens: tuple[int, ...] | list[int], cache: Cache) -> None:
        self._prefixes.add(tokens, cache)
        self._prefixes.shrink(self._free_memory)

    def _set_chunk(self, size: int) -> None:
        size = max(SMALLEST_CHUNK, min(size, LARGEST_CHUNK))
        self._batch.prefill_step_size = self._batch._prompt_batch.prefill_step_size = size

    def _fail(self, error: EngineError) -> None:
        for sequence in self._running.values():
            sequence.generation.end(error)
        self._running.clear()
        self._ahead.clear()
        if self._loaded is not None:
            with contextlib.suppress(Exception):  # what has failed may fail again
                self._batch.close()
            self._batch = self._new_batch(self._loaded)
            self._share_memory()  # a new batch has set the wired limit its own way

    def _rest(self) -> None:
        if not self._running:
            memory.give_back()

    # Reading ahead

    def _read_chunk_ahead(self, job: ReadAhead) -> None:
        assert self._loaded is not None
        if job.cache is None:
            job.done, job.cache = self._prefixes.find([*job.tokens, -1])
            job.cache = job.cache or self._loaded.model.make_cache()
        size = max(SMALLEST_CHUNK, min(int(self._prefill_rate * CHUNK_SECONDS), LARGEST_CHUNK))
        chunk = job.tokens[job.done : job.done + size]
        if chunk:
            started = time.perf_counter()
            with mx.stream(self._batch.stream):
                self._loaded.model(mx.array([chunk]), cache=job.cache)
                mx.eval([layer.state for layer in job.cache])
            self._prefill_rate = _smooth(self._prefill_rate, len(chunk) / (time.perf_counter() - started))
            job.done += len(chunk)
        if job.done == len(job.tokens):
            self._ahead.remove(job)
            self._keep(job.tokens, job.cache)
            self._prefixes.persist(job.tokens)

    def _hand_over(self, prompt: tuple[int, ...]) -> None:
        """Let `prompt` go on from what has been read ahead of it, even if that is not finished."""
        for job in self._ahead:
            if job.cache is not None and job.done and prompt[: job.done] == job.tokens[: job.done]:
                self._prefixes.add(job.tokens[: job.done], job.cache)

    # Memory

    def _clear_the_way(self, weights: int) -> None:
        """Unload idle models until one of `weights` bytes fits beside those that stay."""
        for other in self._of_all_models:
            if memory.fits(weights, self._resident()):
                return
            other.unload()
        if (resident := self._resident()) and not memory.fits(weights, resident):
            raise EngineError(
                f"It needs about {_gb(memory.needed(weights))} of memory, and another model is at work that takes "
                f"{_gb(resident)}. Try again when that has finished."
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
        held = sum(layer.nbytes for paused in self._paused.values() for layer in paused.cache)
        return self._prefixes.budget - int(self._batch.prompt_cache_nbytes + held)

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
                f"This prompt of {prompt_tokens} tokens needs about {_gb(needed)} of memory for its context; "
                f"{_gb(budget - self._free_memory)} of {_gb(budget)} are in use. "
                "Wait for other sessions, start a new session, or raise --memory-gb."
            )

    def _new_batch(self, loaded: LoadedModel) -> BatchGenerator:
        return BatchGenerator(loaded.model, stop_tokens=[[token] for token in self._options.stop_tokens])

    def _disk_tier(self, loaded: LoadedModel) -> snapshot_files.DiskTier | None:
        if not self._options.disk_gb:
            return None
        try:
            return snapshot_files.DiskTier(snapshot_files.folder(), loaded.digest, int(self._options.disk_gb * 1e9))
        except OSError as error:
            log.warning("snapshots are not stored: %s", error)
            return None


def greedy(logprobs: mx.array) -> mx.array:
    """Return the likeliest ids (batch,); one function for all, so that mlx-lm samples a whole batch in one call."""
    return mx.argmax(logprobs, axis=-1)


def make_sampler(sampling: Sampling, model: LoadedModel) -> Sampler:
    """Return a sampler of logprobs (batch, vocabulary) float32 to ids (batch,).

    Each generation draws from its own random key, so what another session does never changes its tokens.
    """
    temperature = model.temperature if sampling.temperature is None else sampling.temperature
    top_p = model.top_p if sampling.top_p is None else sampling.top_p
    if temperature == 0:
        return greedy
    seed = int.from_bytes(os.urandom(4)) if sampling.seed is None else sampling.seed
    key = mx.random.key(seed)

    def sample(logprobs: mx.array) -> mx.array:
        nonlocal key
        key, now = mx.random.split(key)
        if top_p < 1:
            logprobs = apply_top_p(logprobs, top_p)
        return mx.random.categorical(logprobs / temperature, key=now)

    return sample


def _smooth(old: float, new: float) -> float:
    # Down at once, up by halves: a chunk that lasts too long is felt, one that is too short is not.
    return new if new < old else (old + new) / 2


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
