"""gpt-oss as transformers computes it, in float32: greedy tokens and log-probabilities.

Knows torch and transformers. Knows nothing about the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GptOssConfig, GptOssForCausalLM
from transformers.utils import logging

from agreement.comparison import Array
from tests.support import random_checkpoint

logging.disable_progress_bar()
torch.set_grad_enabled(False)


@dataclass(frozen=True)
class Run:
    """A prompt and what the reference sampled after it; `hidden` (tokens, hidden) is what it knew before each next."""

    prompt: list[int]
    sampled: list[int]
    hidden: Any
    head: Any

    @property
    def tokens(self) -> list[int]:
        return self.prompt + self.sampled

    def log_probabilities(self, first: int, end: int) -> Array:
        """Return those of what follows each position from `first` to before `end`, (positions, vocabulary) float32."""
        found: Array = torch.log_softmax(self.head(self.hidden[first:end]), -1).numpy()
        return found


class Reference:
    """transformers' model with the weights of a checkpoint (see tests/support/random_checkpoint.py)."""

    def __init__(self, weights: random_checkpoint.Weights) -> None:
        config = GptOssConfig(**random_checkpoint.SHAPE._asdict(), attn_implementation="eager", dtype="float32")
        self._model: Any = GptOssForCausalLM(config).eval()
        self._model.load_state_dict({name: torch.tensor(np.ascontiguousarray(a)) for name, a in weights.items()})

    def run(self, prompt: list[int], count: int) -> Run:
        """Sample `count` tokens greedily, each from the cache of those before it."""
        out = self._model.model(torch.tensor([prompt]), use_cache=True)
        hidden = [out.last_hidden_state[0]]
        sampled: list[int] = []
        while len(sampled) < count:
            sampled.append(int(self._model.lm_head(hidden[-1][-1]).argmax()))
            out = self._model.model(torch.tensor([sampled[-1:]]), past_key_values=out.past_key_values, use_cache=True)
            hidden.append(out.last_hidden_state[0])
        return Run(prompt, sampled, torch.cat(hidden), self._model.lm_head)

    def save(self, folder: Path, dtype: torch.dtype) -> None:
        """Write the checkpoint as transformers does, in full precision."""
        self._model.to(dtype).save_pretrained(folder)
        self._model.to(torch.float32)
