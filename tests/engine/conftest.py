"""What the engine's tests share: MLX on the processor, the bundled model, and engines that end with their test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest

# Before anything imports mlx-lm, which makes its stream on the default device. On the processor a sequence gets the
# same tokens alone and in a batch; on a GPU how sums are rounded depends on what else is computed with them.
mx.set_default_device(mx.cpu)

from gptoss_acp.engine import weights  # noqa: E402
from tests.support import random_checkpoint  # noqa: E402
from tests.support.engines import Engines, engines  # noqa: E402


@pytest.fixture(scope="session")
def model() -> weights.LoadedModel:
    """The bundled model, for use on the test's own thread."""
    return weights.load(None)


@pytest.fixture(scope="session")
def every_expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint whose tokens differ from each other's at once, and do not hang on the router's near ties."""
    return random_checkpoint.write_every_expert(tmp_path_factory.mktemp("checkpoints") / "gpt-oss-random")


@pytest.fixture
def new_engine() -> Iterator[Engines]:
    with engines() as every:
        yield every
