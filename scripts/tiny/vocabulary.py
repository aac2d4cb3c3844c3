"""Which ids the model learns, and which ones compete as outputs in a step.

Knows token features and counts. Knows nothing about the network's insides.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from datetime import date
from random import Random

import numpy as np
import numpy.typing as npt

from gptoss_acp import vocabulary
from gptoss_acp.engine import bundled
from gptoss_acp.harmony import encoding
from tiny import texts
from tiny.dialogues import TITLES, dialogue
from tiny.grammar import rules
from tiny.prefixes import real_prefix

Ids = npt.NDArray[np.int64]

OFTEN_SEEN = 4e-5
OFTEN_SAID = 1e-4


def choose(random: Random, dialogues: int = 10_000) -> tuple[Ids, Ids]:
    """Return one id for each core to learn, and the ids that are always among the outputs."""
    seen: Counter[int] = Counter()
    said: Counter[int] = Counter()
    for _ in range(dialogues):
        made = dialogue(random)
        seen.update(made.ids)
        said.update(token for token, learned in zip(made.ids, made.learned, strict=True) if learned)
    known = {token for token, count in seen.items() if count > OFTEN_SEEN * seen.total()} | _grammar_words()
    known |= {token for token, piece in enumerate(vocabulary.token_bytes()) if len(piece) == 1 and piece.isascii()}
    known |= {token for number in range(201) for token in encoding.encode_text(str(number))}
    for has_tools in (True, False):
        known |= set(real_prefix("/home/me/project", date(2026, 1, 1), "low", has_tools=has_tools))
    known |= set(bundled.USED_SPECIAL_IDS) | _fixed_words()
    always = {token for token, count in said.items() if count > OFTEN_SAID * said.total()}
    always |= {token for number in range(101) for token in encoding.encode_text(str(number))}
    always |= set(bundled.USED_SPECIAL_IDS)
    core = bundled.features().core
    one_per_core = {int(core[token]): token for token in sorted(known | always, reverse=True)}
    return np.array(sorted(one_per_core.values())), np.array(sorted(always))


def _fixed_words() -> set[int]:
    """Return the ids of all that the model says by heart, however seldom: what is not learned can only be copied."""
    first = {name: choices[0] for name, choices in texts.STORY_PARTS.items()}
    story = [sentence.format(**first) for paragraph in texts.STORY for sentence in paragraph]
    story += [f" {part}" for choices in texts.STORY_PARTS.values() for part in choices]
    said = [text for pair in texts.CHAT.values() for text in pair]
    said += [texts.GREETING_ANSWER, texts.FALLBACK_ANSWER, texts.TOO_FAR_ANSWER, *story, *TITLES.values()]
    return {token for text in said for token in encoding.encode_text(text)}


def _grammar_words() -> set[int]:
    """Return the ids of all words of the grammar, capitalised and not: only learned words have a meaning."""
    found: set[int] = set()
    for name, alternatives in rules().items():
        if name == "any":
            continue
        for word in re.findall(r"[A-Za-z']+", " ".join(alternatives)):
            for text in (f" {word}", word.capitalize(), f" {word.capitalize()}"):
                found.update(encoding.encode_text(text))
    return found


@dataclass
class Slots:
    """The slots of one step: which core, prefix and form each has."""

    core: npt.NDArray[np.int32]
    prefix: npt.NDArray[np.int32]
    form: npt.NDArray[np.int32]


class Vocabulary:
    """Gives each step its input and output slots."""

    def __init__(self, learned_ids: Ids, always: Ids) -> None:
        features = bundled.features()
        self.learned_ids = learned_ids
        self.always = always
        self.core, self.prefix, self.form = features.core, features.prefix, features.form
        self._learned_place = np.full(features.cores, -1, np.int32)
        self._learned_place[self.core[learned_ids]] = np.arange(len(learned_ids))
        ordinary = np.arange(vocabulary.FIRST_SPECIAL_ID)
        rest = ordinary[~np.isin(ordinary, always)]
        siblings = np.isin(self.core[rest], self.core[always])
        self._near, self._far = rest[siblings], rest[~siblings]
        self._by_core = np.argsort(self.core[ordinary], kind="stable")
        self._first_of_core = np.searchsorted(self.core[ordinary][self._by_core], np.arange(features.cores + 1))

    def outputs(self, random: np.random.Generator, targets: Ids, size: int) -> tuple[Ids, npt.NDArray[np.float32]]:
        """Return `size` ids that compete, those of `targets` among them, and each one's log weight.

        Besides what is always there come the targets, ids that differ from them in the prefix only (likely mistakes),
        and random ones, each standing for as many as were left out.
        """
        wanted = np.setdiff1d(targets, self.always)
        cores = np.unique(self.core[wanted])
        alike = [self._by_core[self._first_of_core[core] : self._first_of_core[core + 1]] for core in cores]
        twins = np.setdiff1d(np.concatenate(alike), np.union1d(wanted, self.always)) if alike else wanted
        certain = np.concatenate([self.always, wanted])
        near = random.choice(self._near, 192)
        free = size - len(certain) - len(near)
        if len(twins) > free - 128:
            twins = random.choice(twins, max(free - 128, 0), replace=False)
        certain = np.concatenate([certain, twins])
        far = random.choice(self._far, size - len(certain) - len(near))
        ids = np.concatenate([certain, near, far])
        weight = np.zeros(size, np.float32)
        weight[len(certain) :][: len(near)] = math.log(len(self._near) / len(near))
        weight[len(certain) + len(near) :] = math.log(len(self._far) / len(far))
        repeated = np.isin(ids, certain)
        repeated[: len(certain)] = False
        weight[repeated] = -1e9
        return ids, weight

    def slots(self, *groups: Ids) -> tuple[list[Slots], int]:
        """Return the features of each group of ids, and how many unlearned cores they have together."""
        unlearned = np.unique(np.concatenate([self.core[ids] for ids in groups]))
        unlearned = unlearned[self._learned_place[unlearned] < 0]
        made = []
        for ids in groups:
            cores = self.core[ids]
            place = self._learned_place[cores]
            random_place = len(self.learned_ids) + np.searchsorted(unlearned, cores)
            core = np.where(place >= 0, place, random_place).astype(np.int32)
            made.append(Slots(core, self.prefix[ids], self.form[ids]))
        return made, len(unlearned)
