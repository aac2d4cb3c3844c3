"""Numbers of the reference, transformers' gpt-oss in float32, on a checkpoint that is made anew wherever it is needed.

`scripts/crosscheck --golden` writes them. Knows the file and its cases. Knows nothing about what computes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import random_checkpoint

FILE = Path(__file__).parents[1] / "engine" / "golden" / "reference.json"

SEED = 31
LIKELIEST = 6
"""Ids of each position whose log-probabilities are kept."""


@dataclass(frozen=True)
class Case:
    """A prompt of `length` tokens after which `count` are sampled; numbers are kept from position `first`, by `step`."""

    length: int
    count: int
    first: int
    step: int

    @property
    def prompt(self) -> list[int]:
        return random_checkpoint.tokens(self.length, SEED)

    @property
    def positions(self) -> range:
        return range(self.first, self.length + self.count, self.step)


SHORT, LONG = Case(40, 24, first=0, step=4), Case(150, 24, first=0, step=6)
VERY_LONG = Case(4150, 6, first=4096, step=10)
CASES = (SHORT, LONG, VERY_LONG)
"""They end in the sliding window, past it, and past the length that gpt-oss was first trained on."""


def checkpoint() -> random_checkpoint.Weights:
    """Return the tensors, in OpenAI's layout."""
    return random_checkpoint.as_published(random_checkpoint.weights(SEED))


def numbers(case: Case, run: Any) -> dict[str, Any]:
    """Return what is kept of the reference's `run` (scripts/agreement/transformers_model.py)."""
    likeliest: dict[int, dict[int, float]] = {}
    for position in case.positions:
        found = run.log_probabilities(position, position + 1)[0]
        likeliest[position] = {int(id_): round(float(found[id_]), 6) for id_ in (-found).argsort()[:LIKELIEST]}
    return {"sampled": run.sampled, "likeliest": likeliest}


def kept(case: Case) -> dict[str, Any]:
    """Return what `numbers` returned for `case`, with texts for keys."""
    read: dict[str, Any] = json.loads(FILE.read_text("utf-8"))[CASES.index(case)]
    return read
