"""Text to ids and back, by openai-harmony's tokenizer.

Knows the encoding. Knows nothing about messages, channels or MLX.
"""

from __future__ import annotations

import codecs
import os
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openai_harmony import HarmonyEncoding

from gptoss_acp import vocabulary

_BROKEN_BYTES = re.compile("[\udc80-\udcff]+")


@cache
def load() -> HarmonyEncoding:
    """Return the gpt-oss encoding, with networking never used.

    openai-harmony reads TIKTOKEN_ENCODINGS_BASE when the encoding is first loaded, hence the order below.
    """
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(vocabulary.unpack_vocabulary())
    from openai_harmony import HarmonyEncodingName, load_harmony_encoding  # noqa: PLC0415 (it reads the variable)

    return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


def warm_up() -> None:
    """Load what is loaded once; it takes about a second."""
    load()
    vocabulary.token_bytes()


LONGEST_SLICE = 2_000
"""Characters that are encoded at once: the library holds the interpreter's lock meanwhile, needs time that grows with
the square of a run of one character, and panics on a very long one."""

_SLICE_END = re.compile(r"(?<=[A-Za-z0-9])(?= [A-Za-z])|(?<=\n)(?=[A-Za-z0-9])")
"""Where no token crosses: before the blank of a word that stands behind another, and where a line begins with a word
(o200k_base's pattern, in tiktoken)."""


def encode_text(text: str) -> list[int]:
    """Encode as ordinary text: `<|end|>` in it is seven characters, never the control token.

    The ids are openai-harmony's own, but for runs of more than LONGEST_SLICE characters without a word's or a line's
    end, which are cut.
    """
    encode = load().encode
    return [token for piece in _slices(text) for token in encode(piece, disallowed_special=())]


def _slices(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > LONGEST_SLICE:
        ends = [match.start() for match in _SLICE_END.finditer(text, start + 1, start + LONGEST_SLICE + 2)]
        end = next((end for end in reversed(ends) if end <= start + LONGEST_SLICE), start + LONGEST_SLICE)
        yield text[start:end]
        start = end
    yield text[start:]


class TextDecoder:
    """Ids to text, one at a time: half a character waits for its rest, a run of broken bytes is one U+FFFD."""

    def __init__(self) -> None:
        self._bytes = vocabulary.token_bytes()
        # Broken bytes come out as lone surrogates, which no whole text holds, so that a run of them is found again.
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._ended_broken = False

    def feed(self, token: int) -> str:
        """Return the text that the ordinary id `token` completes, perhaps none."""
        return self._mended(self._decode(self._bytes[token]))

    def finish(self) -> str:
        """Return what is left: U+FFFD where the last character is unfinished, else nothing."""
        return self._mended(self._decode(b"", True))

    def _mended(self, text: str) -> str:
        if text.isascii():
            self._ended_broken = self._ended_broken and not text
            return text
        goes_on = self._ended_broken and _BROKEN_BYTES.match(text)
        self._ended_broken = bool(_BROKEN_BYTES.match(text[-1]))
        mended = _BROKEN_BYTES.sub("\ufffd", text)
        return mended[1:] if goes_on else mended


def decode_text(tokens: Iterable[int]) -> str:
    """Decode ordinary ids as a whole."""
    decoder = TextDecoder()
    return "".join([*map(decoder.feed, tokens), decoder.finish()])
