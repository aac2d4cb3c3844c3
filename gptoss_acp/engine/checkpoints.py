"""Where a model's files are, and whether it will load: the bundled model, a local folder, the Hugging Face cache.

Knows names, folders and what a checkpoint consists of. Knows nothing about MLX or the network, and importing it costs
nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections import ChainMap, Counter
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptoss_acp.engine.api import EngineError, ModelMissingError

if TYPE_CHECKING:
    from gptoss_acp.engine.architecture import Architecture

log = logging.getLogger(__name__)

BUNDLED = "tiny"

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
WEIGHTS = "model*.safetensors"
GENERATION_CONFIG = "generation_config.json"
SMALL_FILES = (CONFIG, GENERATION_CONFIG, INDEX)


@dataclass(frozen=True)
class Size:
    """Bytes of the weights on the disk, and that a token adds to caches in bfloat16; tokens of the longest context.

    `undivided` are those of the weights that each of several machines has whole.
    """

    nbytes: int
    bytes_per_token: int
    context_length: int = 131_072
    undivided: int = 0

    @property
    def of_contexts(self) -> int:
        """Bytes of the longest context."""
        return self.bytes_per_token * self.context_length

    def share(self, machines: int) -> Size:
        """Return what each of several machines takes that compute it together."""
        divided = (self.nbytes - self.undivided) // machines
        return replace(self, nbytes=self.undivided + divided, bytes_per_token=self.bytes_per_token // machines)


WELL_KNOWN = {
    "openai/gpt-oss-20b": Size(13_800_000_000, 24 * 1024, undivided=2_321_000_000),
    "mlx-community/gpt-oss-20b-MXFP4-Q8": Size(12_100_000_000, 24 * 1024, undivided=1_233_000_000),
    "openai/gpt-oss-120b": Size(65_200_000_000, 36 * 1024, undivided=2_343_000_000),
}
"""Repositories whose sizes can be told without asking the hub."""

FINGERPRINT_BYTES = 2**20
"""Of the beginning of each file: its header, and some numbers."""

LONGEST_NAME = 100
"""Characters of what a checkpoint calls something, in a message."""

UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What is raised where a checkpoint's JSON is not what it should be."""

_SHARD = re.compile(r"model-\d{5}-of-(?P<count>\d{5})\.safetensors")
_WHAT_TO_NAME = (
    f"Name a folder by a path that begins with /, ./, ../ or ~, a Hugging Face repository (owner/name), or {BUNDLED}."
)

_REPOSITORY = re.compile(r"\A(?!.{0,96}(--|\.\.))\w([\w.-]{0,94}\w)?/\w([\w.-]{0,94}\w)?", re.ASCII)


def find(name: str) -> Path | None:
    """Return the folder of the checkpoint `name`, None for the bundled model.

    A folder is meant only by a name that begins with `/`, `./`, `../` or `~`.

    Raises:
        ModelMissingError: it is not on this machine, or not whole.
        EngineError: it is no gpt-oss model.
    """
    if name == BUNDLED:
        return None
    if _names_folder(name):
        return _whole_folder(name)
    # Not even where there is one: a project must not bring its own weights under the name of somebody else's.
    hint = f" For the folder of that name say ./{name}." if _is_folder(name) else ""
    if not is_repository(name):
        raise ModelMissingError(f"There is no model {name}.{_meant(name)} {_WHAT_TO_NAME}{hint}")
    cached = _cached(name)
    if cached is None:
        raise ModelMissingError(f"The model {name} is not on this machine yet.{hint}", downloadable=True)
    if problem := damage(name, cached):
        raise ModelMissingError(f"The model {name} is on this machine only in part: {problem}.", downloadable=True)
    return cached


def on_this_machine() -> list[str]:
    """Return the names of the whole gpt-oss checkpoints in the Hugging Face cache."""
    from huggingface_hub import constants  # noqa: PLC0415 (slow)

    names = sorted(
        folder.name.removeprefix("models--").replace("--", "/")
        for folder in Path(constants.HF_HUB_CACHE).glob("models--*--*")
    )
    return [name for name in names if is_repository(name) and _is_whole(name)]


def size(name: str, folder: Path) -> Size:
    """Return what a whole checkpoint takes.

    Raises:
        EngineError: it is no gpt-oss model.
    """
    described = refuse_other_kinds(name, folder / CONFIG)
    return Size(nbytes(folder), described.bytes_per_token, described.max_position_embeddings, _undivided(folder))


def nbytes(folder: Path | None) -> int:
    """Return the bytes of a checkpoint's weights on the disk; None is the bundled one, of no account."""
    return sum(file.stat().st_size for file in weight_files(folder)) if folder else 0


def share_nbytes(folder: Path | None, machines: int) -> int:
    """Return the bytes of these that each of several machines takes that compute it together."""
    whole = nbytes(folder)
    return (
        whole
        if machines == 1 or folder is None
        else Size(whole, 0, undivided=_undivided(folder)).share(machines).nbytes
    )


def lasting_name(name: str) -> str:
    """Return a name that means the same checkpoint in whatever folder it is said: of a folder its whole path."""
    if not _names_folder(name):
        return name
    # Path's raises for a ~name of nobody.
    return os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111


def may_be_had(name: str) -> bool:
    """Whether `name` is one of a folder that is here, a repository's, or the bundled model's; costs nothing."""
    return name == BUNDLED or (_is_folder(lasting_name(name)) if _names_folder(name) else is_repository(name))


def fingerprint(folder: Path | None) -> str:
    """Return what two copies of a checkpoint have in common and hardly any other has: read in a moment, unlike it all.

    Raises:
        OSError: its files can't be read.
    """
    if folder is None:
        return BUNDLED
    hashed = hashlib.sha256((folder / CONFIG).read_bytes())
    for file in weight_files(folder):
        hashed.update(f"{file.name} {file.stat().st_size}".encode())
        with file.open("rb") as content:
            hashed.update(content.read(FINGERPRINT_BYTES))
    return hashed.hexdigest()[:16]


def is_repository(name: str) -> bool:
    """Whether `name` has the form of a Hugging Face repository's."""
    return len(name) <= 96 and bool(_REPOSITORY.fullmatch(name))


def short_name(name: str) -> str:
    """Return what people call the model: the last part of its repository or folder."""
    return name.rstrip("/").rsplit("/", 1)[-1]


def damage(name: str, folder: Path) -> str | None:
    """Return what is missing, broken or not as its config says in a checkpoint, None where it will load.

    Reads the files' headers only.

    Raises:
        EngineError: it is no gpt-oss model, or one that computes what this program does not.
    """
    from gptoss_acp.engine import tensors  # noqa: PLC0415 (slow)

    try:
        architecture = refuse_other_kinds(name, folder / CONFIG)
        files = weight_files(folder)
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except UNREADABLE:
        return f"{CONFIG} or {INDEX} is damaged"
    if not files:
        return f"it has no {WEIGHTS}"
    if problem := next(filter(None, map(_problem, files)), None):
        return problem
    shapes = [_shapes(file) for file in files]
    if twice := [name for name, count in Counter(chain.from_iterable(shapes)).items() if count > 1]:
        return f"the tensor {twice[0]} is in more than one of its files"
    return tensors.mismatch(architecture, dict(ChainMap(*shapes)))


def refuse_other_kinds(name: str, config: Path) -> Architecture:
    """Return what `config` says, where that is a gpt-oss which this program can run.

    Raises:
        EngineError: it is another model's, or computes otherwise.
        UNREADABLE: it can't be read.
    """
    from gptoss_acp.engine import architecture  # noqa: PLC0415 (slow)

    said = read_json(config)
    if (kind := said.get("model_type")) != "gpt_oss":
        kind = str(kind)[:LONGEST_NAME]
        raise EngineError(f"{name} can't be used: it is a {kind} model, and this program runs gpt_oss models.")
    try:
        return architecture.parse(said)
    except architecture.UnusableConfigError as error:
        raise EngineError(f"{name} can't be used: {error}") from None


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint's weights, there or missing: those that its index names and no others.

    Without an index they are those in the folder, and those that the numbers in their names count.

    Raises:
        UNREADABLE: the index can't be read.
    """
    index = folder / INDEX
    if index.exists():
        names = set(read_json(index)["weight_map"].values())
    else:
        names = {file.name for file in folder.glob(WEIGHTS)}
        for count in {shard["count"] for shard in map(_SHARD.fullmatch, names) if shard}:
            names |= {f"model-{number:05d}-of-{count}.safetensors" for number in range(1, int(count) + 1)}
    return [folder / name for name in sorted(names)]


def read_json(file: Path) -> Any:
    """Return what a file says. What else may have its name is not opened: a pipe would be waited for.

    Raises:
        OSError, ValueError, RecursionError: it can't be read.
    """
    if file.exists() and not file.is_file():
        raise ValueError(f"{file.name} is no file")
    return json.loads(file.read_text("utf-8"))


def has_whole_tensors(file: Path) -> bool:
    """Whether a safetensors file has a readable header and ends where that says."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 (slow)

    try:
        with safe_open(file, framework="numpy"):
            return True
    except (SafetensorError, OSError):
        return False


def _problem(file: Path) -> str | None:
    name = file.name[:LONGEST_NAME]
    if not os.path.isfile(file):  # noqa: PTH113, Path's raises for a name that is too long
        return f"{name} is missing"
    return None if has_whole_tensors(file) else f"{name} is damaged"


def _meant(name: str) -> str:
    """Return the question whether the nearest of the well-known checkpoints is meant, if one is near."""
    import difflib  # noqa: PLC0415 (hardly ever needed)

    whole = {short_name(known): known for known in WELL_KNOWN}
    nearest = difflib.get_close_matches(name, [BUNDLED, *WELL_KNOWN, *whole], 1)
    return f" Is {whole.get(nearest[0], nearest[0])} meant?" if nearest else ""


def _names_folder(name: str) -> bool:
    return name in (".", "..") or name.startswith(("/", "./", "../", "~"))


def _whole_folder(name: str) -> Path:
    try:
        folder = Path(name).expanduser()
    except (RuntimeError, ValueError) as error:  # nobody is or can be called that
        raise ModelMissingError(f"There is no folder {name}: {error}") from error
    if not _is_folder(folder):
        raise ModelMissingError(f"There is no folder {name}. {_WHAT_TO_NAME}")
    if problem := damage(name, folder):
        raise ModelMissingError(f"The folder {name} holds no whole model: {problem}.")
    return folder


def _is_folder(path: Path | str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112, Path's raises for a name that is too long


def _is_whole(name: str) -> bool:
    try:
        find(name)
    except EngineError:
        return False
    except Exception:  # what stands there may be anybody's, and must not stop the others
        log.exception("%s is left out", name)
        return False
    return True


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import safe_open  # noqa: PLC0415 (slow)

    with safe_open(file, framework="numpy") as opened:
        names: list[str] = opened.keys()
        return {name: tuple(opened.get_slice(name).get_shape()) for name in names}


def _undivided(folder: Path) -> int:
    """Return the bytes of the weights that are not divided among machines."""
    from gptoss_acp.engine import tensors  # noqa: PLC0415 (slow)

    return sum(
        size for file in weight_files(folder) for name, size in _sizes(file).items() if not tensors.is_divided(name)
    )


def _sizes(file: Path) -> dict[str, int]:
    """Return the bytes of each tensor in a safetensors file, as its header says."""
    with file.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    return {
        name: said["data_offsets"][1] - said["data_offsets"][0]
        for name, said in header.items()
        if name != "__metadata__"
    }


def _cached(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 (slow)

    config = try_to_load_from_cache(name, CONFIG)
    return Path(config).parent if isinstance(config, str) else None
