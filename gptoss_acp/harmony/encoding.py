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
    from collections.abc import Iterable

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


def encode_text(text: str) -> list[int]:
    """Encode as ordinary text: `<|end|>` in it is seven characters, never the control token."""
    tokens: list[int] = load().encode(text, disallowed_special=())
    return tokens


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
