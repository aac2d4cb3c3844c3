"""Engines that end with their test, however that ends: MLX aborts a process that exits while a thread is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gptoss_acp.engine.api import EngineOptions
from gptoss_acp.engine.mlx_engine import MlxEngine
from gptoss_acp.engine.ranks.supervisor import RankSupervisor
from gptoss_acp.engine.thread import EngineThread
from gptoss_acp.vocabulary import STOP_IDS

ENDING_SECONDS = 60
"""A ceiling for the step that the thread is in."""


class Engines:
    """Builds engines."""

    def __init__(self) -> None:
        self.built: list[MlxEngine] = []

    def __call__(self, model: str = "tiny", *more: Any, **options: Any) -> MlxEngine:
        """Return an engine that stores nothing unless `options` say so; `more` is for `MlxEngine`."""
        engine = MlxEngine(model, EngineOptions(**{"stop_tokens": STOP_IDS, "disk_gb": 0.0, **options}), *more)
        self.built.append(engine)
        return engine


@contextmanager
def engines() -> Iterator[Engines]:
    """Give what builds engines, and end them all."""
    every = Engines()
    try:
        yield every
    finally:
        for engine in every.built:
            end(engine)


def end(engine: MlxEngine) -> None:
    """Close an engine and wait until its thread, or its ranks, have ended."""
    engine.close()
    if isinstance(engine._driver, RankSupervisor):
        assert engine._driver.wait(ENDING_SECONDS)
        return
    thread = thread_of(engine)._thread
    if thread is not None:
        thread.join(ENDING_SECONDS)
        assert not thread.is_alive()


def thread_of(engine: MlxEngine) -> EngineThread:
    """Return what runs the models of an engine on this machine alone."""
    assert isinstance(engine._driver, EngineThread)
    return engine._driver
