"""What the engine's tests share: MLX on the processor, and the bundled model."""

from __future__ import annotations

import mlx.core as mx
import pytest

# Before anything imports mlx-lm, which makes its stream on the default device. On the processor a sequence gets the
# same tokens alone and in a batch; on a GPU how sums are rounded depends on what else is computed with them.
mx.set_default_device(mx.cpu)

from gptoss_acp.engine import weights  # noqa: E402


@pytest.fixture(scope="session")
def model() -> weights.LoadedModel:
    """The bundled model, for use on the test's own thread."""
    return weights.load(None)
