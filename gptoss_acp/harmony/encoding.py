"""The o200k_harmony vocabulary, unpacked from package data so that openai-harmony never asks the network.

Knows the files and the special ids. Knows nothing about messages, channels or MLX.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import lzma
import os
import re
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openai_harmony import HarmonyEncoding

RETURN = 200002
CONSTRAIN = 200003
CHANNEL = 200005
START = 200006
END = 200007
MESSAGE = 200008
CALL = 200012
STOP_IDS = (RETURN, CALL)
MESSAGE_ENDS = (END, RETURN, CALL)
FIRST_SPECIAL_ID = 199998
VOCABULARY_SIZE = 201088

_BROKEN_BYTES = re.compile("[\udc80-\udcff]+")
_FILE = "o200k_base.tiktoken"
_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


def unpack_vocabulary(folder: Path | None = None) -> Path:
    """Return a folder that holds the vocabulary file, unpacking it there if it is missing or damaged.

    Safe when two processes do it at once: each writes its own file and renames it into place.

    Raises:
        OSError: neither `folder` (default: the user's cache) nor a temporary folder can be written.
    """
    folder = folder or user_cache_path("gptoss-acp") / "vocabulary"
    target = folder / _FILE
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == _SHA256:
        return folder
    packed = resources.files("gptoss_acp").joinpath("data", f"{_FILE}.xz").read_bytes()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_atomically(target, lzma.decompress(packed))
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="gptoss-acp-vocabulary-"))
        _write_atomically(folder / _FILE, lzma.decompress(packed))
    return folder


def _write_atomically(target: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@cache
def load() -> HarmonyEncoding:
    """Return the gpt-oss encoding, with networking never used.

    openai-harmony reads TIKTOKEN_ENCODINGS_BASE when the encoding is first loaded, hence the order below.
    """
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(unpack_vocabulary())
    from openai_harmony import HarmonyEncodingName, load_harmony_encoding

    return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


@cache
def token_bytes() -> list[bytes]:
    """Return the bytes of every ordinary id, `token_bytes()[id]`, for ids below FIRST_SPECIAL_ID."""
    table = [b""] * FIRST_SPECIAL_ID
    for line in (unpack_vocabulary() / _FILE).read_bytes().splitlines():
        encoded, rank = line.split()
        table[int(rank)] = base64.b64decode(encoded)
    return table


def encode_text(text: str) -> list[int]:
    """Encode as ordinary text: `<|end|>` in it is seven characters, never the control token."""
    tokens: list[int] = load().encode(text, disallowed_special=())
    return tokens


class TextDecoder:
    """Ids to text, one at a time: half a character waits for its rest, a run of broken bytes is one U+FFFD."""

    def __init__(self) -> None:
        self._bytes = token_bytes()
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
