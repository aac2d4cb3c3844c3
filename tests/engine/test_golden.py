"""The engine computes what the reference computes: numbers that transformers' gpt-oss gave in float32."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from gptoss_acp.engine import rope, weights
from gptoss_acp.engine.api import EngineOptions, Sampling
from gptoss_acp.engine.mlx_engine import MlxEngine
from tests.support import golden, random_checkpoint
from tests.support.golden import LONG, SHORT, VERY_LONG, Case

CHUNK = 192
CLOSE = {SHORT: 2e-3, LONG: 2e-3, VERY_LONG: 1e-2}
"""Past position 4,096 float32 rounds the angles of rotation, the reference's too."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_checkpoint.write(tmp_path_factory.mktemp("golden") / "model", golden.checkpoint())


def far(model: Any, case: Case) -> float:
    """Return the largest difference of log-probabilities, infinite where another id is the likeliest."""
    theirs = golden.kept(case)
    tokens = [*case.prompt, *theirs["sampled"]]
    cache = model.make_cache()
    chunks = []
    for start in range(0, len(tokens), CHUNK):
        chunks.append(model.model(mx.array([tokens[start : start + CHUNK]]), cache=cache)[0])
        mx.eval(chunks[-1])
    logits = model.lm_head(mx.concatenate(chunks)[mx.array(list(case.positions))])
    found = np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))
    worst = 0.0
    for ours, likeliest in zip(found, theirs["likeliest"].values(), strict=True):
        ids = [int(id_) for id_ in likeliest]
        if ours.argmax() != ids[0]:
            return math.inf
        worst = max(worst, np.abs(ours[ids] - list(likeliest.values())).max())
    return worst


@pytest.mark.parametrize("case", CLOSE, ids=["in the window", "past it", "past position 4,096"])
def test_log_probabilities_are_the_references(folder: Path, case: Case) -> None:
    assert far(weights.load(folder).model, case) <= CLOSE[case]


def test_positions_as_mlx_lm_rounds_them_would_be_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rope, "correct", lambda *_: None)
    assert far(weights.load(folder).model, LONG) > 10 * CLOSE[LONG]


async def test_the_engine_samples_what_the_reference_samples_alone_and_in_a_batch(folder: Path) -> None:
    engine = MlxEngine(str(folder), EngineOptions((), disk_gb=0))

    async def sampled(case: Case) -> list[int]:
        return [token async for token in engine.generate(case.prompt, Sampling(temperature=0, max_tokens=case.count))]

    await engine.load()
    expected = [golden.kept(case)["sampled"] for case in (SHORT, LONG)]
    assert [await sampled(case) for case in (SHORT, LONG)] == expected
    assert await asyncio.gather(*map(sampled, (SHORT, LONG))) == expected
    engine.close()
