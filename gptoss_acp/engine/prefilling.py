"""One chunk of all prompts that are being read, some layers at a time.

To read a chunk costs a time that does not hang on its length, since each reads nearly all experts; so chunks are long.
But nobody waits for a whole one: MLX computes what it is asked for and nothing else, so a chunk is computed layer by
layer, and between two of them others can decode and a cancel is heard. Knows mlx-lm's batch of prompts, which it is.
Knows nothing about the clock. Imported on the engine's thread only.
"""

from __future__ import annotations

import mlx.core as mx
from mlx_lm.generate import PromptProcessingBatch

from gptoss_acp.engine.caches import Alone, Cache, without_padding
from gptoss_acp.engine.decoding import Decoding
from gptoss_acp.engine.ranks.group import ALONE


class Prefilling(PromptProcessingBatch):  # type: ignore[misc]
    """mlx-lm's batch of prompts; `unread` layers have not computed yet the tokens that were `begun` last."""

    prompt_cache: Cache
    begun = 0
    unread = 0
    ranks = ALONE

    def prompt(self, tokens: list[list[int]]) -> None:
        """Begin to read `tokens` of each sequence; `go_on` does it."""
        if not tokens:
            return
        for known, more in zip(self.tokens, tokens, strict=True):
            known.extend(more)
        lengths = [len(more) for more in tokens]
        self.begun = sum(lengths)
        padding = [max(lengths) - length for length in lengths]
        padded = mx.array([more + [0] * missing for more, missing in zip(tokens, padding, strict=True)])
        if any(padding):
            for layer in self.prompt_cache:
                layer.prepare(lengths=lengths, right_padding=padding)
        alone = len(tokens) == 1
        self.model(padded, cache=[Alone(layer) for layer in self.prompt_cache] if alone else self.prompt_cache)
        if any(padding):
            for layer in self.prompt_cache:
                layer.finalize()
        self.unread = len(self.prompt_cache)

    def go_on(self, layers: int) -> None:
        """Compute the next `layers` of what has been begun, at most those that are left."""
        first = len(self.prompt_cache) - self.unread
        mx.eval([layer.state for layer in self.prompt_cache[first : first + layers]])
        self.unread = max(0, self.unread - layers)
        if not self.unread:
            mx.clear_cache()

    def _copy(self) -> Prefilling:
        copied: Prefilling = super()._copy()
        copied.ranks = self.ranks
        return copied

    def filter(self, keep: list[int]) -> None:
        super().filter(keep)
        if len(keep) == 1:
            self.prompt_cache = without_padding(self.prompt_cache)
        elif not keep:
            self.unread = 0

    def generate(self, tokens: list[list[int]]) -> Decoding:
        """Return the sequences, for which this is over, as ones that decode, from their last tokens on, one each."""
        return Decoding(
            self.model,
            self.uids,
            mx.array([last for (last,) in tokens]),
            self.prompt_cache,
            self.tokens,
            self.samplers,
            self.fallback_sampler,
            self.logits_processors,
            self.stop_sequences,
            self.max_tokens,
            ranks=self.ranks,
        )
