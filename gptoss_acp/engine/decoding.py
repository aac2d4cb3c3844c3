"""One step of all sequences that have read their prompts: from logits to the next ids, with nothing in between.

mlx-lm's own step turns the logits into log-probabilities of all 201,088 ids, in the model's precision, and keeps them;
what samples needs neither, and sampling from what bfloat16 has rounded gives other ids. Knows mlx-lm's batch of
decoding sequences, which it is. Knows nothing about prompts. Imported on the engine's thread only.
"""

from __future__ import annotations

from typing import Any, cast

import mlx.core as mx
from mlx_lm.generate import GenerationBatch

from gptoss_acp.engine.caches import Alone, Cache, without_padding
from gptoss_acp.engine.ranks.group import ALONE, Ranks


class Decoding(GenerationBatch):  # type: ignore[misc]
    """mlx-lm's batch of decoding sequences; what it says of their log-probabilities is None."""

    prompt_cache: Cache
    _next_tokens: mx.array

    def __init__(self, *batch: Any, ranks: Ranks = ALONE, **more: Any) -> None:
        self._ranks = ranks
        super().__init__(*batch, **more)

    def filter(self, keep: list[int]) -> None:
        super().filter(keep)
        if len(keep) == 1:
            self.prompt_cache = without_padding(self.prompt_cache)

    def _step(self) -> tuple[list[int], list[None]]:
        """Begin to compute the ids after those computed before, and return these, one a sequence."""
        newest = self._next_tokens
        cache = [Alone(layer) for layer in self.prompt_cache] if len(self.uids) == 1 else self.prompt_cache
        logits = self.model(newest[:, None], cache=cache)[:, -1, :]
        contexts: list[mx.array] = []
        if any(self.logits_processors):
            rows = [self._processed(row, newest, logits, contexts) for row in range(len(self.uids))]
            logits = mx.concatenate(rows, axis=0)
        self._current_tokens, self._next_tokens = newest, self._ranks.sampled(self._sampled(logits))
        self._current_logprobs = self._next_logprobs = [None] * len(self.uids)
        mx.async_eval(self._next_tokens, contexts)  # type: ignore[no-untyped-call]
        ids = cast("list[int]", newest.tolist())
        for tokens, token in zip(self.tokens, ids, strict=True):
            tokens.append(token)
        return ids, self._current_logprobs

    def _processed(self, row: int, newest: mx.array, logits: mx.array, contexts: list[mx.array]) -> mx.array:
        """Return one row of `logits` as its processors leave it; what these were told is added to `contexts`."""
        of_row = logits[row : row + 1]
        if processors := self.logits_processors[row]:
            context = self._token_context[row].update_and_fetch(newest[row : row + 1])
            contexts.append(context)
            for processor in processors:
                of_row = processor(context, of_row)
        return of_row

    def _sampled(self, logits: mx.array) -> mx.array:
        samplers: list[Any] = self.samplers
        if all(sampler is samplers[0] for sampler in samplers):
            sampled: mx.array = samplers[0](logits)
            return sampled
        return mx.concatenate([sampler(logits[row : row + 1]) for row, sampler in enumerate(samplers)], axis=0)
