"""Snapshots that survive a restart: one safetensors file each, in the user's cache folder.

A file's name carries its content's checksum, so one that is damaged, truncated or foreign is known for what it is and
removed. Knows files and arrays. Knows nothing about the tree that the snapshots make up.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
from platformdirs import user_cache_path

if TYPE_CHECKING:
    import mlx.core as mx

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"

UNFINISHED_SECONDS = 3600.0
"""No file takes that long to write."""

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file says of itself: its snapshot's digest, its parent's, and the tokens from there on."""

    digest: str
    parent: str
    tokens: tuple[int, ...]


def folder() -> Path:
    """Return the folder of every model's snapshots."""
    return user_cache_path("gptoss-acp") / "prefixes"


def files(root: Path) -> list[Path]:
    """Return the snapshot files of every model, least recently used first."""
    return sorted(root.glob(f"*/*{SUFFIX}"), key=_last_use)


class DiskTier:
    """The stored snapshots of one model, in `root`/`model`; all models together take at most `budget` bytes."""

    def __init__(self, root: Path, model: str, budget: int) -> None:
        self._root = root
        self._folder = root / model
        self._budget = budget
        self._paths: dict[str, Path] = {}
        self._writes: queue.Queue[tuple[str, Arrays, dict[str, str]] | None] = queue.Queue()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._remove_unfinished()
        threading.Thread(target=self._write_all, name="snapshot-writer", daemon=True).start()

    def stored(self) -> Iterator[Stored]:
        """Yield what is stored; files that cannot be read are removed."""
        for path in self._folder.glob(f"*{SUFFIX}"):
            digest = path.name.split(".")[0]
            try:
                with safetensors.safe_open(path, framework="numpy") as file:
                    parent = file.metadata()["parent"]
                    tokens = tuple(file.get_tensor("tokens").tolist())
            except Exception:
                log.warning("removing the unreadable snapshot %s", path.name)
                path.unlink(missing_ok=True)
                continue
            self._paths[digest] = path
            yield Stored(digest, parent, tokens)

    def read(self, digest: str, layers: int) -> list[tuple[mx.array, mx.array]]:
        """Return the keys and values of each of `layers` layers.

        Raises:
            ValueError, OSError, KeyError: the file is damaged, foreign or gone.
        """
        import mlx.core as mx

        path = self._paths[digest]
        content = path.read_bytes()
        if path.name != _name(digest, content):
            raise ValueError(f"{path.name} is damaged")
        arrays: dict[str, mx.array] = {}
        for name, array in safetensors.numpy.load(content).items():
            if name != "tokens":
                layer, dtype = name.split(":")
                arrays[layer] = mx.array(array).view(getattr(mx, dtype))
        return [(arrays[f"{index}.keys"], arrays[f"{index}.values"]) for index in range(layers)]

    def write(
        self, digest: str, parent: str, tokens: Sequence[int], layers: Sequence[tuple[mx.array, mx.array]]
    ) -> None:
        """Store a snapshot; returns once its arrays are copied, and writes in the background."""
        arrays: Arrays = {"tokens": np.array(tokens, np.uint32)}
        for index, (keys, values) in enumerate(layers):
            for name, array in (("keys", keys), ("values", values)):
                # numpy knows no bfloat16, so arrays travel as bytes under the name of their type.
                arrays[f"{index}.{name}:{str(array.dtype).rpartition('.')[2]}"] = _as_bytes(array)
        self._writes.put((digest, arrays, {"parent": parent}))

    def touch(self, digests: Iterable[str]) -> None:
        """Note that these snapshots are in use."""
        now = time.time()
        for digest in digests:
            path = self._paths.get(digest)
            if path is not None and path.exists():
                os.utime(path, (now, now))

    def remove(self, digest: str) -> None:
        path = self._paths.pop(digest, None)
        if path is not None:
            path.unlink(missing_ok=True)

    def flush(self) -> None:
        """Return when everything handed to `write` before is on disk."""
        self._writes.join()

    def close(self) -> None:
        """Write nothing after what was handed to `write` before."""
        self._writes.put(None)

    def _remove_unfinished(self) -> None:
        """Remove what processes that ended while they wrote have left behind, long enough ago to be none's."""
        for path in self._root.glob("*/*"):
            if path.suffix != SUFFIX and time.time() - _last_use(path) > UNFINISHED_SECONDS:
                path.unlink(missing_ok=True)

    def _write_all(self) -> None:
        while (write := self._writes.get()) is not None:
            digest, arrays, metadata = write
            try:
                self._write(digest, safetensors.numpy.save(arrays, metadata))
            except OSError as error:
                log.warning("a snapshot was not stored: %s", error)
            finally:
                self._writes.task_done()
        self._writes.task_done()

    def _write(self, digest: str, content: bytes) -> None:
        target = self._folder / _name(digest, content)
        temporary = target.with_suffix(f".{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        self._paths[digest] = target
        self._make_room()

    def _make_room(self) -> None:
        every = files(self._root)
        excess = sum(_size(path) for path in every) - self._budget
        for path in every:
            if excess <= 0:
                return
            excess -= _size(path)
            path.unlink(missing_ok=True)


def _as_bytes(array: mx.array) -> npt.NDArray[np.uint8]:
    import mlx.core as mx

    return np.array(array.view(mx.uint8))


def _name(digest: str, content: bytes) -> str:
    return f"{digest}.{hashlib.blake2b(content, digest_size=16).hexdigest()}{SUFFIX}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
