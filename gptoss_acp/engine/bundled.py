"""The bundled model: a compact file, expanded at load to a whole gpt-oss checkpoint.

The model has the 201,088 rows of the real vocabulary, but they are made from few numbers. Every id has three features:
a core (its text without one leading blank or sign), a prefix (that blank or sign) and a form (lower case, digits, ...).
A row is `code(core) @ map + prefix row + form row`. A few thousand cores have learned codes; all others have fixed
random ones, so that the network can copy words it was never taught.

Knows the compact format and the token features. Knows nothing about training, MLX or messages.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gptoss_acp import vocabulary

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

SIGNS = b"/_.-\"`'(=:@$#\\*[{<+,!|>~&;%?)]\t"
PREFIXES = 2 + len(SIGNS)
FORMS = 11
HOPELESS_ID = vocabulary.FIRST_SPECIAL_ID
"""An id that no text holds: training teaches that it never comes, and every other unused special id shares its row."""

USED_SPECIAL_IDS = (
    HOPELESS_ID,
    vocabulary.RETURN,
    vocabulary.CONSTRAIN,
    vocabulary.CHANNEL,
    vocabulary.START,
    vocabulary.END,
    vocabulary.MESSAGE,
    vocabulary.CALL,
)

WEIGHTS = "weights.npz"

_CODE_SEED = 777


class Features(NamedTuple):
    """What each id of the vocabulary is made of; `cores` is how many different cores there are."""

    core: Ids
    prefix: Ids
    form: Ids
    cores: int


def data_folder() -> Path:
    """Return the folder that holds the compact file and the config."""
    return Path(str(resources.files("gptoss_acp").joinpath("data", "tiny")))


def config() -> dict[str, Any]:
    """Return the Hugging Face style config, sampling defaults included."""
    loaded: dict[str, Any] = json.loads((data_folder() / "config.json").read_text("utf-8"))
    return loaded


def weights(file: Path | None = None) -> dict[str, Array]:
    """Return the whole checkpoint in float32, under the names that mlx-lm's gpt_oss knows."""
    with np.load(file or data_folder() / WEIGHTS) as compact:
        numbers = {name: compact[name] for name in compact.files}
    learned_ids = numbers.pop("learned_ids").astype(np.int64)
    return expand({name: array.astype(np.float32) for name, array in numbers.items()}, learned_ids)


def expand(numbers: dict[str, Array], learned_ids: npt.NDArray[np.int64]) -> dict[str, Array]:
    """Return the checkpoint made from the compact `numbers`; code i belongs to the core of `learned_ids[i]`."""
    checkpoint = {name: array for name, array in numbers.items() if name.startswith("model.")}
    codes = random_codes(np.random.PCG64(_CODE_SEED), features().cores, numbers["input.codes"].shape[1])
    for side, name in (("input", "model.embed_tokens.weight"), ("output", "lm_head.weight")):
        learned, *rest = (numbers[f"{side}.{part}"] for part in ("codes", "map", "prefix", "form"))
        codes[features().core[learned_ids]] = learned
        checkpoint[name] = _rows(codes, *rest)
    return checkpoint


def random_codes(generator: np.random.PCG64, count: int, width: int) -> Array:
    """Return `count` codes of length 1, with random signs: cheap to draw, and the same with every NumPy."""
    words = generator.random_raw((count * width + 63) // 64).view(np.uint8)
    bits = np.unpackbits(words, count=count * width).reshape(count, width)
    size = np.float32(width**-0.5)
    return np.where(bits, size, -size)


@cache
def features() -> Features:
    """Return the features of all ids, from the bytes that they stand for."""
    known: dict[bytes, int] = {}
    core = np.zeros(vocabulary.VOCABULARY_SIZE, np.int32)
    prefix = np.zeros(vocabulary.VOCABULARY_SIZE, np.int32)
    form = np.zeros(vocabulary.VOCABULARY_SIZE, np.int32)
    cores, prefixes, forms = [], [], []
    for text in vocabulary.token_bytes():
        kind = _prefix(text)
        rest = text[1:] if kind else text
        cores.append(known.setdefault(rest, len(known)))
        prefixes.append(kind)
        forms.append(_form(rest))
    ordinary = len(cores)
    core[:ordinary], prefix[:ordinary], form[:ordinary] = cores, prefixes, forms
    specials = vocabulary.VOCABULARY_SIZE - ordinary
    core[ordinary:] = np.arange(len(known), len(known) + specials)
    return Features(core, prefix, form, len(known) + specials)


def _rows(codes: Array, mapping: Array, prefix: Array, form: Array) -> Array:
    ids = features()
    rows: Array = np.take(codes @ mapping, ids.core, axis=0)
    rows += (prefix[:, None] + form).reshape(PREFIXES * FORMS, -1)[ids.prefix * FORMS + ids.form]
    unused = np.arange(vocabulary.FIRST_SPECIAL_ID, vocabulary.VOCABULARY_SIZE)
    rows[unused[~np.isin(unused, USED_SPECIAL_IDS)]] = rows[HOPELESS_ID]
    return rows


def _prefix(text: bytes) -> int:
    if len(text) < 2:
        return 0
    if text[0] == 32:
        return 0 if text[1:2].isspace() else 1
    if text[0] in _SIGN_KIND and text.isascii() and text[1:].isalpha():
        return _SIGN_KIND[text[0]]
    return 0


_SIGN_KIND = {sign: 2 + place for place, sign in enumerate(SIGNS)}


def _form(core: bytes) -> int:
    if not core.isascii():
        return 2
    if core.isalpha():
        return 4 if core.islower() else 5 if core.isupper() else 6
    if core.isdigit():
        return 3
    if core.isspace():
        return 1
    if b"\n" in core:
        return 7
    return 8 if any(byte in _ALPHANUMERIC for byte in core) else 9 if len(core) == 1 else 10


_ALPHANUMERIC = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
