"""Downloads a checkpoint from the Hugging Face hub, in a process of its own.

`python -m gptoss_acp.engine.download_process NAME` says on its output, one JSON object a line, how many bytes are
there and of how many, or why it has failed; it ends
when its input does, and so with the process that started it.

huggingface_hub begins a file anew when its download was cut, and these files have gigabytes. So weights are fetched
here, to a file that the next attempt goes on with, and reach the cache whole and checked.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, constants, get_token, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.file_download import http_get, repo_folder_name

from gptoss_acp.engine import checkpoints
from gptoss_acp.engine.api import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FILES_AT_ONCE = 4
REPORT_SECONDS = 0.5
ANSWER_SECONDS = 20.0
LONGEST_REASON = 300

KEPT = "What has arrived is kept: try again to go on from there."


def main() -> None:
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        download(sys.argv[1])
    except EngineError as error:
        _say(error=str(error))
    os._exit(0)  # threads may still wait for the network


def download(name: str) -> None:
    """Bring the checkpoint `name` into the cache; what is there already, in part or whole, is not fetched again.

    Raises:
        EngineError: it can't be had; the message says why and what to do.
    """
    with _explained(name):
        info = HfApi().model_info(name, files_metadata=True, timeout=ANSWER_SECONDS)
        files = {file.rfilename: file for file in info.siblings or ()}
        if checkpoints.CONFIG not in files:
            raise EngineError(f"{name} can't be used: it has no {checkpoints.CONFIG}. Choose another with --model.")
        # Always anew, for they are small, and one of them may be what is damaged.
        small = {
            path: hf_hub_download(name, path, revision=info.sha, force_download=True)
            for path in checkpoints.SMALL_FILES
            if path in files
        }
        _refuse_other_kinds(name, Path(small[checkpoints.CONFIG]))
        blobs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "blobs"
        weights = [
            Weights(hf_hub_url(name, path, revision=info.sha), file.lfs.size, blobs / file.lfs.sha256)
            for path, file in files.items()
            if fnmatch(path, checkpoints.WEIGHTS) and file.lfs is not None
        ]
        _fetch_all(weights, blobs)
        folder = Path(snapshot_download(name, allow_patterns=[*checkpoints.SMALL_FILES, checkpoints.WEIGHTS]))
    if problem := checkpoints.damage(name, folder):
        raise EngineError(f"{name} is no whole checkpoint: {problem}. Choose another with --model.")


def _refuse_other_kinds(name: str, config: Path) -> None:
    try:
        checkpoints.refuse_other_kinds(name, config)
    except checkpoints.UNREADABLE as error:
        raise EngineError(
            f"{name} can't be used: its {config.name} is damaged. Choose another with --model."
        ) from error


@dataclass(frozen=True)
class Weights:
    """One file of weights: where it comes from, its size in bytes, and where it goes, by the name of its SHA-256."""

    url: str
    size: int
    whole: Path

    @property
    def part(self) -> Path:
        return self.whole.with_name(self.whole.name + ".incomplete")

    @property
    def arrived(self) -> int:
        """How many bytes are on the disk."""
        for file in (self.whole, self.part):
            with contextlib.suppress(FileNotFoundError):
                return file.stat().st_size
        return 0

    def fetch(self) -> None:
        """Download what is missing.

        Raises:
            EngineError: what came is not what the hub says it has.
        """
        with self.part.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # another process may be at the same file
            if self._is_whole():
                self.part.unlink(missing_ok=True)
                return
            file.seek(0, os.SEEK_END)
            if file.tell() < self.size:
                http_get(self.url, file, resume_size=file.tell(), headers=_headers())
            file.flush()
            if self._digest() != self.whole.name:
                size = file.tell()
                file.truncate(0)
                raise EngineError(
                    f"{self.url} came with {size} bytes that are not the {self.size} the hub promised, so they were "
                    "thrown away. Try again; if it goes on, a proxy may be in the way."
                )
            self.part.replace(self.whole)

    def _is_whole(self) -> bool:
        """Whether it is in the cache already. What is damaged there is removed."""
        if not self.whole.exists():
            return False
        whole = self.whole.stat().st_size == self.size and checkpoints.has_whole_tensors(self.whole)
        if not whole:
            self.whole.unlink()
        return whole

    def _digest(self) -> str:
        with self.part.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _headers() -> dict[str, str]:
    token = get_token()
    return {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})


def _fetch_all(weights: Sequence[Weights], blobs: Path) -> None:
    """Fetch several files at once, and say how far that is."""
    blobs.mkdir(parents=True, exist_ok=True)
    total = sum(file.size for file in weights)
    missing = total - sum(min(file.arrived, file.size) for file in weights)
    free = shutil.disk_usage(blobs).free
    if missing > free:
        raise EngineError(f"{_gb(missing)} are still to come, but {_gb(free)} are free in {blobs.parent}. {_MAKE_ROOM}")
    pool = ThreadPoolExecutor(FILES_AT_ONCE)
    running = {pool.submit(file.fetch) for file in weights}
    while running:
        done, running = wait(running, REPORT_SECONDS, FIRST_EXCEPTION)
        for future in done:
            future.result()
        _say(done=sum(file.arrived for file in weights), total=total)


_MAKE_ROOM = "Make room there, or set HF_HOME to a folder on another disk, and try again."


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the hub, the network and the disk raise into an EngineError that says what to do."""
    try:
        yield
    except EngineError:
        raise
    except GatedRepoError as error:
        raise EngineError(f"{name} needs a permission: ask for it on its page, then set HF_TOKEN.") from error
    except RepositoryNotFoundError as error:
        hint = "Choose another with --model, or set HF_TOKEN if it is private."
        raise EngineError(f"There is no model {name} on {constants.ENDPOINT}. {hint}") from error
    except HfHubHTTPError as error:
        raise EngineError(f"{constants.ENDPOINT} answered with an error: {_reason(error)}. {KEPT}") from error
    except OfflineModeIsEnabled as error:
        raise EngineError(f"{name} can't be downloaded while HF_HUB_OFFLINE is set: unset it.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            place = constants.HF_HUB_CACHE
            raise EngineError(f"The disk is full: {place}. {_MAKE_ROOM} What has arrived is kept.") from error
        raise EngineError(f"{name} could not be downloaded: {_reason(error)}. {KEPT}") from error
    except Exception as error:
        if not type(error).__module__.startswith("httpx"):  # which one it is depends on huggingface_hub's version
            raise
        reached = f"{constants.ENDPOINT} can't be reached ({_reason(error)})"
        raise EngineError(f"{name} could not be downloaded: {reached}. Is this machine online? {KEPT}") from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")[:LONGEST_REASON]


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201, this is what the process is for


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
