"""The ids of gpt-oss's vocabulary, o200k_harmony: its control tokens, and the bytes that every other id stands for.

Knows the vocabulary's file, which is unpacked from package data so that nothing asks the network. Knows nothing about
messages, text encodings or MLX.
"""

from __future__ import annotations

import base64
import hashlib
import lzma
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

from platformdirs import user_cache_path

from gptoss_acp import atomic_write, own_files

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
        own_files.make_folder(folder)
        atomic_write.replace(target, lzma.decompress(packed))
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="gptoss-acp-vocabulary-"))
        atomic_write.replace(folder / _FILE, lzma.decompress(packed))
    return folder


@cache
def token_bytes() -> list[bytes]:
    """Return the bytes of every ordinary id, `token_bytes()[id]`, for ids below FIRST_SPECIAL_ID."""
    table = [b""] * FIRST_SPECIAL_ID
    for line in (unpack_vocabulary() / _FILE).read_bytes().splitlines():
        encoded, rank = line.split()
        table[int(rank)] = base64.b64decode(encoded)
    return table
