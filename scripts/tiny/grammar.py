"""Random sentences from the rules in phrases.txt, with arguments that can be copied from them token by token.

Knows alternatives, slots and tokens. Knows nothing about tools or dialogues.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from random import Random

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding
from tiny import words

Tokens = tuple[int, ...]

_GROUP = re.compile(r"\(([^()]*)\)")
_RULE = re.compile(r"<([A-Za-z ]+)>")
_SLOT = re.compile(r"(\{[A-Z]\})")


class NotCopyableError(Exception):
    """The argument is not made of tokens of the user's text, so no network could learn to copy it."""


@cache
def rules() -> dict[str, tuple[str, ...]]:
    """Return the rules of phrases.txt, and those that name one word each."""
    found: dict[str, tuple[str, ...]] = {
        "noun": words.listed("nouns"),
        "any": words.common(),
        "Any": words.listed("determiners"),
    }
    lines = (Path(__file__).parent / "phrases.txt").read_text("utf-8").splitlines()
    name, body = "", ""
    for line in [*lines, "end:"]:
        if line.startswith(" "):
            body += " " + line.strip()
        elif line and not line.startswith("#"):
            if name:
                found[name] = tuple(_alternatives(body))
            name, body = line.removesuffix(":"), ""
    return found


def _alternatives(body: str) -> list[str]:
    found, depth = [""], 0
    for sign in body:
        depth = max(depth + (sign == "(") - (sign == ")"), 0)
        if sign == "|" and depth == 0:
            found.append("")
        else:
            found[-1] += sign
    return [alternative.strip() for alternative in found]


def phrase(random: Random, rule: str) -> str:
    """Return a random phrase of a rule; slots such as `{P}` stay in it."""
    return expand(random, f"<{rule}>")


def expand(random: Random, text: str) -> str:
    """Replace `<rule>` by one of the rule's texts, and `(a|b)` by one of a, b, until neither is left."""
    while True:
        if match := _RULE.search(text):
            chosen = random.choice(rules()[match.group(1)])
        elif match := _GROUP.search(text):
            chosen = random.choice(match.group(1).split("|"))
        else:
            return re.sub(" +", " ", text).strip()
        text = text[: match.start()] + chosen + text[match.end() :]


def change(skeleton: str, how: Callable[[str], str]) -> str:
    """Change all of a skeleton but its slots."""
    pieces = _SLOT.split(skeleton)
    return "".join(piece if place % 2 else how(piece) for place, piece in enumerate(pieces))


@dataclass(frozen=True)
class Filled:
    """A text, and where in it each argument stands."""

    text: str
    spans: dict[str, tuple[int, int]]

    def copy(self, slot: str, *, in_json: bool = False) -> Tokens:
        """Return the argument's tokens as the text itself has them.

        Raises:
            NotCopyableError: a word would need other tokens without its leading blank.
        """
        return clip(self.text, *self.spans[slot], in_json=in_json)


def fill(skeleton: str, values: dict[str, str]) -> Filled:
    """Put the values into the slots of `skeleton`."""
    text = ""
    spans = {}
    for place, piece in enumerate(_SLOT.split(skeleton)):
        if place % 2:
            value = values[piece[1]]
            spans[piece[1]] = (len(text), len(text) + len(value))
            text += value
        else:
            text += piece
    return Filled(text, spans)


@lru_cache(maxsize=100_000)
def encode(text: str) -> Tokens:
    """Encode ordinary text, remembering it: the same few texts come again and again."""
    return tuple(encoding.encode_text(text))


def clip(text: str, start: int, end: int, *, in_json: bool = False) -> Tokens:
    """Return the tokens of `text` between two characters, cutting the outer ones.

    Encoding the argument alone would give other tokens, which are not in the text and so can't be copied.

    Raises:
        NotCopyableError: a cut token is not a token of the vocabulary.
    """
    table, known = vocabulary.token_bytes(), _ids_of_bytes()
    first, last = len(text[:start].encode()), len(text[:end].encode())
    ids: list[int] = []
    position = 0
    for token in encode(text):
        piece = table[token][max(first - position, 0) : max(last - position, 0)]
        position += len(table[token])
        if in_json and any(byte in b'"\\' or byte < ord(" ") for byte in piece):
            ids += encode(json.dumps(piece.decode(), ensure_ascii=False)[1:-1])
        elif piece in known:
            ids.append(known[piece])
        elif piece:
            raise NotCopyableError(text)
    return tuple(ids)


@cache
def _ids_of_bytes() -> dict[bytes, int]:
    return {piece: token for token, piece in enumerate(vocabulary.token_bytes())}
