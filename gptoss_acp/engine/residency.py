"""Which models are in memory, and how much of it each may take.

A model that is asked for comes into memory; idle ones make room where it would not fit beside them. Knows models,
bytes, and that each model has a scheduler. Knows nothing about what that does next. Used on the engine's thread only.
"""

from __future__ import annotations

import gc
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gptoss_acp.engine import checkpoints, memory, weights
from gptoss_acp.engine.api import BuildMatcher, EngineError, EngineOptions, LoadProgress
from gptoss_acp.engine.messages import NOTHING_READ, Status
from gptoss_acp.engine.ranks.group import ALONE, Ranks
from gptoss_acp.engine.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from pathlib import Path

    from gptoss_acp.engine.generation import Sink

log = logging.getLogger(__name__)


class Residency:
    """The models in memory, each with its scheduler; what others may know of them is written to `statuses`.

    `meanwhile` is called before each step that others do while a model loads.
    """

    def __init__(
        self,
        options: EngineOptions,
        build_matcher: BuildMatcher,
        statuses: MutableMapping[str, Status],
        ranks: Ranks = ALONE,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self._options = options
        self._build_matcher = build_matcher
        self._statuses = statuses
        self._ranks = ranks
        self._meanwhile = meanwhile
        self._schedulers: dict[str, Scheduler] = {}

    @property
    def busy(self) -> bool:
        return any(scheduler.busy for scheduler in self._schedulers.values())

    def step(self) -> None:
        """Go on with all that generates; where nothing does, read ahead."""
        schedulers = list(self._schedulers.values())
        for scheduler in [one for one in schedulers if one.generating] or schedulers:
            scheduler.step()

    def submit(self, generation: Sink) -> None:
        """Begin a generation, unless it is closed already; a model that was unloaded is loaded again.

        Raises:
            EngineError: the model cannot be loaded, or its context does not hold the prompt.
        """
        if generation.closing:
            generation.end()
            return
        model = generation.request.model
        if model not in self._schedulers:
            self.load(model, self.find(model))
        self._schedulers[model].submit(generation)

    def cancel(self, generation: Sink) -> None:
        if scheduler := self._schedulers.get(generation.request.model):
            scheduler.cancel(generation)

    def resume(self, generation: Sink) -> None:
        if scheduler := self._schedulers.get(generation.request.model):
            scheduler.resume(generation)

    def read_ahead(self, model: str, tokens: tuple[int, ...]) -> None:
        if scheduler := self._schedulers.get(model):
            scheduler.read_ahead(tokens)

    def find(self, model: str) -> Path | None:
        """Return the folder of a checkpoint, None for the bundled one.

        Raises:
            EngineError: it is not here, or on another rank not there.
        """
        with self._ranks.together():
            return checkpoints.find(model)

    def load(self, model: str, folder: Path | None) -> None:
        """Load the checkpoint in `folder` (None: the bundled one), if it is not in memory.

        Idle models make room for this one, and those that generate go on meanwhile.

        Raises:
            EngineError: another model is at work, and this one does not fit beside it.
            ValueError, OSError: the folder does not hold what its config says.
        """
        if model in self._schedulers:
            return
        started = time.perf_counter()
        self._tell(model, progress=NOTHING_READ)
        size = checkpoints.share_nbytes(folder, self._ranks.size)
        self._ranks.require_equal("The weights", checkpoints.fingerprint(folder) if self._ranks.size > 1 else "")
        self._clear_the_way(size)
        self._share_memory(coming=size)

        def between(progress: LoadProgress) -> None:
            self._tell(model, progress=progress)
            if any(other.at_work for other in self._schedulers.values()):
                self._meanwhile()
            for other in self._schedulers.values():
                if other.at_work:
                    other.step()

        try:
            loaded = weights.load(folder, between, self._ranks)
            self._schedulers[model] = Scheduler(loaded, self._options, self._build_matcher, self._ranks)
        finally:
            self._share_memory()
        self._tell(model, loaded=True)
        length = self._statuses[model].context_length
        log.info("loaded %s in %.2f s, for contexts of %d tokens", model, time.perf_counter() - started, length)

    def unload_idle(self) -> None:
        """Give the memory of all models that generate nothing back; the next generation loads them again."""
        for model in list(self._schedulers):
            self._unload(model)

    def close(self) -> None:
        """Write nothing to the disk after what is on its way."""
        for scheduler in self._schedulers.values():
            scheduler.close()

    def _unload(self, model: str) -> None:
        if not self._schedulers[model].at_work:
            log.info("unloading the idle model %s", model)
            self._schedulers.pop(model).close()
            self._tell(model, loaded=False, progress=NOTHING_READ)
            gc.collect()  # until then its scheduler's cycles hold it
            memory.give_back()
            self._share_memory()

    def _clear_the_way(self, size: int) -> None:
        """Unload idle models until one of `size` bytes fits beside those that stay."""
        for other in list(self._schedulers):
            if self._fits(size, self._resident()):
                return
            self._unload(other)
        if not self._fits(size, 0):
            log.warning("it may become slow, or not load: %s", memory.shortage(size))
        if (resident := self._resident()) and not self._fits(size, resident):
            raise EngineError(
                f"It needs about {memory.gb(memory.needed(size))} of memory, and another model is at work that "
                f"takes {memory.gb(resident)}. Try again when that has finished."
            )

    def _fits(self, size: int, resident: int) -> bool:
        return bool(self._ranks.least(memory.fits(size, resident)))

    def _resident(self) -> int:
        """Return the bytes of all weights that are in memory."""
        return sum(scheduler.weights for scheduler in self._schedulers.values())

    def _share_memory(self, coming: int = 0) -> None:
        """Give each model in memory an equal part of what there is for contexts, and one of `coming` bytes too."""
        resident = self._resident() + coming
        sharers = len(self._schedulers) + bool(coming)
        for model, scheduler in self._schedulers.items():
            budget = self._ranks.least(memory.budget(resident, self._options.memory_gb))
            scheduler.take_memory(budget // sharers)
            self._tell(model, context_length=scheduler.context_length)
        memory.set_limits(resident, self._options.wired_gb)

    def _tell(self, model: str, **changes: Any) -> None:
        self._statuses[model] = replace(self._statuses.get(model, Status()), **changes)
