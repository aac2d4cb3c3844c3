"""What every test may use: `async def` tests, a private home, and the program spawned in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import mlx.core as mx
import pytest

from scripts import make_checkpoint
from tests.support.spawner import Spawner

# Before mlx-lm is imported, which makes its stream on the default device: on the processor the order of a sum does not
# depend on what else is in the batch.
mx.set_default_device(mx.cpu)

# A shell that runs the tests in the background ignores it, and programs that they spawn would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Return what runs tests that are `async def`, each in a loop of its own."""
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own folders out; one cache for all tests, so that the vocabulary is unpacked once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        for name in [name for name in os.environ if name.startswith("GPTOSS_ACP_")]:
            patch.delenv(name)
        yield


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawner]:
    """Spawn the program; each agent must end well when the test does."""
    with ExitStack() as agents:
        yield Spawner(tmp_path, agents)


@pytest.fixture(scope="module")
def spawn_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spawner]:
    """Spawn the program for all tests of a module."""
    with ExitStack() as agents:
        yield Spawner(tmp_path_factory.mktemp("agents"), agents)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint with random weights, 52 MB; not to be changed."""
    folder = tmp_path_factory.mktemp("checkpoint") / "gpt-oss-small"
    make_checkpoint.write(make_checkpoint.SHAPES["tiny-random"], folder)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("a small disk can only be mounted by root, on Linux")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
