"""Endless batches of fresh dialogues, in parts that devices take side by side.

Knows lengths, padding and slots. Knows nothing about the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import jax
import numpy as np

from tiny.dialogues import Dialogue, dialogue, past_turns
from tiny.model import Batch
from tiny.prefixes import prefix
from tiny.vocabulary import Vocabulary

ROWS = {88: 22, 160: 12, 448: 4}
"""Longest dialogue of a bucket, and how many rows of it one part takes."""

PREFIXES = SHORT_PREFIX, REAL_PREFIX, LONG_PREFIX, NO_PREFIX = 256, 1152, 2048, 0
ALONE = (0.0, 0.0, 0.0, 1.0)
BEHIND_PREFIXES = (0.4, 0.46, 0.04, 0.1)
"""How often each of `PREFIXES` stands before a batch. Alone, a step takes half the time, and copying comes sooner."""

INPUT_SLOTS, OUTPUT_SLOTS, RANDOM_CORES = 1792, 2304, 3328
SHARE_SAID = 0.72
"""How many of a part's tokens are learned, at most."""
PADDING = 199_999


def prefixes(random: Random, longest: int) -> list[int]:
    """Return a random prefix of at most `longest` tokens; past turns may fill it up."""
    while True:
        ids = prefix(random)
        if len(ids) > longest or (longest > SHORT_PREFIX and len(ids) < SHORT_PREFIX):
            continue
        wanted = random.randint(len(ids), longest) if longest == LONG_PREFIX or random.random() < 0.35 else 0
        while len(ids) < wanted:
            earlier = Dialogue()
            for turn in past_turns(random, 1):
                earlier.turn(turn, past=True)
            if len(ids) + len(earlier.ids) > longest:
                break
            ids = ids + earlier.ids
        return ids


def shapes(parts: int) -> Iterator[Any]:
    """Yield each kind of batch, as a `Batch` of shapes and dtypes."""

    def numbers(*shape: int, dtype: type = np.int32) -> Any:
        return jax.ShapeDtypeStruct((parts, *shape), dtype)

    for time, rows in ROWS.items():
        said = round(rows * time * SHARE_SAID)
        for longest in PREFIXES:
            if _too_much(time, longest):
                continue
            yield Batch(
                prefix=numbers(longest),
                prefix_length=numbers(),
                rows=numbers(rows, time),
                learned_places=numbers(said),
                targets=numbers(said),
                target_weight=numbers(said, dtype=np.float32),
                input_core=numbers(INPUT_SLOTS),
                input_prefix=numbers(INPUT_SLOTS),
                input_form=numbers(INPUT_SLOTS),
                output_core=numbers(OUTPUT_SLOTS),
                output_prefix=numbers(OUTPUT_SLOTS),
                output_form=numbers(OUTPUT_SLOTS),
                correction=numbers(OUTPUT_SLOTS, dtype=np.float32),
            )


def batches(
    seed: int, vocabulary: Vocabulary, avoided: frozenset[str], shares: tuple[float, ...], parts: int
) -> Iterator[Batch]:
    """Yield batches behind prefixes of the sizes `PREFIXES`, as often as `shares` says."""
    random, generator = Random(seed), np.random.default_rng(seed)
    pools: dict[int, list[Dialogue]] = {time: [] for time in ROWS}
    while True:
        time = _fill(random, pools, avoided, parts)
        rows = [pools[time].pop() for _ in range(ROWS[time] * parts)]
        longest = random.choices(PREFIXES, shares)[0]
        if _too_much(time, longest):
            longest = REAL_PREFIX
        made = []
        for part in range(parts):
            before = prefixes(random, longest) if longest else []
            made.append(_batch(generator, vocabulary, before, longest, rows[part::parts], time))
        yield Batch(*(np.stack(arrays) for arrays in zip(*made, strict=True)))


def _too_much(time: int, longest: int) -> bool:
    """Whether rows of so many tokens behind a prefix of so many take more memory than there is."""
    return longest == LONG_PREFIX and time != min(ROWS)


def _fill(random: Random, pools: dict[int, list[Dialogue]], avoided: frozenset[str], parts: int) -> int:
    """Make dialogues until one bucket has enough of them, and return which."""
    while True:
        made = dialogue(random, avoided)
        time = next((time for time in ROWS if len(made.ids) <= time + 1), None)
        if time is None:
            continue
        pools[time].append(made)
        if len(pools[time]) >= ROWS[time] * parts:
            return time


def _batch(
    generator: np.random.Generator,
    vocabulary: Vocabulary,
    before: list[int],
    bucket: int,
    dialogues: list[Dialogue],
    time: int,
) -> Batch:
    tokens = np.full((len(dialogues), time + 1), PADDING)
    learned = np.zeros((len(dialogues), time + 1), bool)
    for row, made in enumerate(dialogues):
        tokens[row, : len(made.ids)] = made.ids
        learned[row, : len(made.ids)] = made.learned
    places = np.flatnonzero(learned[:, 1:])
    count = round(tokens[:, 1:].size * SHARE_SAID)
    if len(places) > count:
        places = np.sort(generator.choice(places, count, replace=False))
    targets = tokens[:, 1:].reshape(-1)[places]
    front = np.full(bucket, PADDING)
    front[bucket - len(before) :] = before
    input_ids = np.unique(np.concatenate([tokens.reshape(-1), front]))
    output_ids, correction = vocabulary.outputs(generator, np.unique(targets), OUTPUT_SLOTS)
    padded_inputs = np.resize(input_ids, INPUT_SLOTS) if len(input_ids) < INPUT_SLOTS else input_ids[:INPUT_SLOTS]
    (inputs, outputs), unlearned = vocabulary.slots(padded_inputs, output_ids)
    if len(input_ids) > INPUT_SLOTS or unlearned > RANDOM_CORES:
        raise ValueError(f"a batch has {len(input_ids)} ids and {unlearned} unlearned cores: too many for its slots")
    order = np.argsort(output_ids, kind="stable")
    # Certain ids come first, so that a target is found at its certain place and not where it was drawn again.
    found = order[np.searchsorted(output_ids[order], targets)]
    padding = count - len(places)
    return Batch(
        prefix=np.searchsorted(input_ids, front).astype(np.int32),
        prefix_length=np.int32(len(before)),
        rows=np.searchsorted(input_ids, tokens[:, :-1]).astype(np.int32),
        learned_places=np.pad(places, (0, padding)).astype(np.int32),
        targets=np.pad(found, (0, padding)).astype(np.int32),
        target_weight=np.pad(np.ones(len(places), np.float32), (0, padding)),
        input_core=inputs.core,
        input_prefix=inputs.prefix,
        input_form=inputs.form,
        output_core=outputs.core,
        output_prefix=outputs.prefix,
        output_form=outputs.form,
        correction=correction,
    )
