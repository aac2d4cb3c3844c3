"""Snapshots that survive a restart: one safetensors file each, in the user's cache folder.

A file's name carries its content's checksum, so one that is damaged, truncated or foreign is known for what it is and
removed; one that merely can't be read now is left. Each is of use only with all that it goes on from, so none goes
before what goes on from it. Knows files, arrays, and which snapshot goes on from which. Knows nothing about prompts.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
from platformdirs import user_cache_path

from gptoss_acp import own_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import mlx.core as mx

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"

UNFINISHED_SECONDS = 3600.0
"""No file takes that long to write."""

MOST_WAITING = 2**29
"""Bytes of snapshots that may wait to be written: a disk that is slower than the model must not fill the memory."""

Arrays = dict[str, npt.NDArray[Any]]


class UnusableSnapshotError(Exception):
    """A stored snapshot is damaged, foreign or gone."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file says of itself: its snapshot's digest, its parent's ("" is the root's), and the tokens from there."""

    digest: str
    parent: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """A snapshot on its way to the disk, `nbytes` of arrays."""

    stored: Stored
    arrays: Arrays
    nbytes: int


def folder() -> Path:
    """Return the folder of every model's snapshots."""
    return user_cache_path("gptoss-acp") / "prefixes"


def files(root: Path) -> list[Path]:
    """Return the snapshot files of every model, least recently used first."""
    return sorted(root.glob(f"*/*{SUFFIX}"), key=_last_use)


def tier(model: str, disk_gb: float) -> DiskTier | None:
    """Return the stored snapshots of the model with the digest `model`, None where nothing is or can be stored."""
    if not disk_gb:
        return None
    try:
        return DiskTier(folder(), model, int(disk_gb * 1e9))
    except OSError as error:
        log.warning("snapshots are not stored: %s", error)
        return None


class DiskTier:
    """The stored snapshots of one model, in `root`/`model`; all models together take at most `budget` bytes."""

    def __init__(self, root: Path, model: str, budget: int) -> None:
        self._root = root
        self._folder = root / model
        self._budget = budget
        self._paths: dict[str, Path] = {}
        self._coming: set[str] = set()
        self._waiting = 0
        self._lock = threading.Lock()
        self._writes: queue.Queue[Write | None] = queue.Queue()
        own_files.make_folder(root)
        own_files.make_folder(self._folder)
        self._remove_unfinished()
        threading.Thread(target=self._write_all, name="snapshot-writer", daemon=True).start()

    def stored(self) -> list[Stored]:
        """Return what can be read, each after its parent; what is of no use any more is removed."""
        every: dict[str, Stored] = {}
        all_read = True
        for path in self._folder.glob(f"*{SUFFIX}"):
            try:
                every[_digest(path)] = _header(path)
                self._paths[_digest(path)] = path
            except UnusableSnapshotError as error:
                log.warning("a stored snapshot is removed: %s", error)
                _unlink(path)
            except OSError as error:
                log.warning("a stored snapshot can't be read now: %s", error)
                all_read = False
        usable = _from_the_root(every)
        if all_read:
            for orphan in every.keys() - {stored.digest for stored in usable}:
                log.warning("a stored snapshot is removed, for what it goes on from is gone: %s", orphan)
                self.remove(orphan)
        return usable

    def holds(self, digest: str) -> bool:
        """Return whether a snapshot is on the disk, as far as is known, or on its way there."""
        return digest in self._coming or digest in self._paths

    def read(self, digest: str, layers: int) -> list[tuple[mx.array, mx.array]]:
        """Return the keys and values of each of `layers` layers.

        Raises:
            UnusableSnapshotError: the file is damaged, foreign or gone.
            OSError: it can't be read now, or is on its way to the disk.
        """
        coming, path = digest in self._coming, self._paths.get(digest)
        if path is None:
            if coming:
                raise OSError(f"{digest} is not written yet")
            raise UnusableSnapshotError(f"{digest} is gone")
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise UnusableSnapshotError(f"{path.name} is gone") from error
        if path.name != _name(digest, content):
            raise UnusableSnapshotError(f"{path.name} is damaged")
        try:
            arrays = _to_mlx(safetensors.numpy.load(content))
            return [(arrays[f"{index}.keys"], arrays[f"{index}.values"]) for index in range(layers)]
        except (safetensors.SafetensorError, KeyError, ValueError, AttributeError) as error:
            raise UnusableSnapshotError(f"{path.name} is foreign: {error!r}") from error

    def write(
        self, digest: str, parent: str, tokens: Sequence[int], layers: Sequence[tuple[mx.array, mx.array]]
    ) -> bool:
        """Store a snapshot, unless it is; returns once its arrays are copied, and writes in the background.

        Returns whether it is stored or will be: not while too much waits to be written.
        """
        if self.holds(digest):
            return True
        nbytes = sum(array.nbytes for pair in layers for array in pair)
        with self._lock:
            if self._waiting and self._waiting + nbytes > MOST_WAITING:
                log.warning("a snapshot is not stored: %d MB wait for the disk already", self._waiting / 1e6)
                return False
        write = Write(Stored(digest, parent, tuple(tokens)), _to_numpy(layers), nbytes)
        with self._lock:
            self._waiting += nbytes
        self._coming.add(digest)
        self._writes.put(write)
        return True

    def touch(self, digests: Iterable[str]) -> None:
        """Note that these snapshots are in use."""
        now = time.time()
        for digest in digests:
            path = self._paths.get(digest)
            if path is not None:
                with contextlib.suppress(OSError):  # it is gone, as `read` will find, or can't be written
                    os.utime(path, (now, now))

    def remove(self, digest: str) -> None:
        path = self._paths.pop(digest, None)
        if path is not None:
            _unlink(path)

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
                _unlink(path)

    # On the writer's thread

    def _write_all(self) -> None:
        while (write := self._writes.get()) is not None:
            try:
                self._write(write)
            except OSError as error:
                log.warning("a snapshot was not stored: %s", error)
            except BaseException:  # for who waits for the next one would wait for ever
                log.exception("a snapshot was not stored")
            finally:
                self._coming.discard(write.stored.digest)
                with self._lock:
                    self._waiting -= write.nbytes
                self._writes.task_done()
        self._writes.task_done()

    def _write(self, write: Write) -> None:
        stored = write.stored
        if stored.parent and stored.parent not in self._paths:
            log.warning("a snapshot is not stored, for what it goes on from is not: %s", stored.digest)
            return
        tokens = np.array(stored.tokens, np.uint32)
        content = safetensors.numpy.save({"tokens": tokens, **write.arrays}, {"parent": stored.parent})
        target = self._folder / _name(stored.digest, content)
        temporary = target.with_suffix(f".{os.getpid()}-{threading.get_native_id()}")
        temporary.unlink(missing_ok=True)
        descriptor = own_files.open_file(temporary, os.O_WRONLY | os.O_EXCL)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        self._paths[stored.digest] = target
        self._make_room()

    def _make_room(self) -> None:
        kept = files(self._root)
        excess = sum(_size(path) for path in kept) - self._budget
        if excess <= 0:
            return
        parents = {path: _parent(path) for path in kept}
        while parents and excess > 0:
            path = _first_to_go(parents)
            del parents[path]
            excess -= _size(path)
            _unlink(path)
            if path.parent == self._folder:
                self._paths.pop(_digest(path), None)


def _from_the_root(every: Mapping[str, Stored]) -> list[Stored]:
    """Return those of `every` that go on from the root, step by step, each after its parent."""
    children: dict[str, list[Stored]] = {}
    for stored in every.values():
        children.setdefault(stored.parent, []).append(stored)
    found = list(children.get("", ()))
    for stored in found:
        found.extend(children.get(stored.digest, ()))
    return found


def _first_to_go(parents: Mapping[Path, str]) -> Path:
    """Return which of these files, least recently used first, each with its parent's digest, is to be removed first.

    That is one whose parent is gone, which is of no use, or else the first that nothing goes on from.
    """
    there = {(path.parent, _digest(path)) for path in parents}
    needed = {(path.parent, parent) for path, parent in parents.items()}
    orphans = (path for path, parent in parents.items() if parent and (path.parent, parent) not in there)
    leaves = (path for path in parents if (path.parent, _digest(path)) not in needed)
    return next(itertools.chain(orphans, leaves))


def _header(path: Path) -> Stored:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return Stored(_digest(path), file.metadata()["parent"], tuple(file.get_tensor("tokens").tolist()))
    except FileNotFoundError as error:
        raise UnusableSnapshotError(f"{path.name} is gone") from error
    except (safetensors.SafetensorError, KeyError, TypeError) as error:
        raise UnusableSnapshotError(f"{path.name} is damaged or foreign: {error!r}") from error


def _parent(path: Path) -> str:
    """Return the digest of the snapshot that a file goes on from; the root's where that can't be read."""
    try:
        return _header(path).parent
    except (UnusableSnapshotError, OSError):
        return ""


def _to_numpy(layers: Iterable[tuple[mx.array, mx.array]]) -> Arrays:
    """Return a copy of each layer's keys and values, as bytes under the name of their type: numpy has no bfloat16."""
    import mlx.core as mx  # noqa: PLC0415 (to see which files there are, nobody needs MLX)

    return {
        f"{index}.{name}:{str(array.dtype).rpartition('.')[2]}": np.array(array.view(mx.uint8))
        for index, pair in enumerate(layers)
        for name, array in zip(("keys", "values"), pair, strict=True)
    }


def _to_mlx(arrays: Arrays) -> dict[str, mx.array]:
    import mlx.core as mx  # noqa: PLC0415 (as above)

    named = (name.split(":") for name in arrays if name != "tokens")
    return {name: mx.array(arrays[f"{name}:{dtype}"]).view(getattr(mx, dtype)) for name, dtype in named}


def _digest(path: Path) -> str:
    return path.name.partition(".")[0]


def _name(digest: str, content: bytes) -> str:
    return f"{digest}.{hashlib.blake2b(content, digest_size=16).hexdigest()}{SUFFIX}"


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("a stored snapshot can't be removed: %s", error)


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
