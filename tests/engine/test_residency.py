"""Two models on one machine: both stay in memory where they fit, and where they do not the idle one makes room."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import mlx.core as mx
import pytest

from gptoss_acp.engine import checkpoints, memory, weights
from gptoss_acp.engine.api import EngineError, EngineOptions, LoadProgress, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import NOTHING_READ, Status, Submit
from gptoss_acp.engine.mlx_engine import no_matcher
from gptoss_acp.engine.residency import Residency
from gptoss_acp.engine.weights import LoadedModel

PROMPT = tuple(range(1000, 1100))

_numbers = itertools.count()


class House:
    """The models of one machine: `tiny`, and `small`, which is `checkpoint`."""

    def __init__(self, checkpoint: Path) -> None:
        self.folders: dict[str, Path | None] = {"tiny": None, "small": checkpoint}
        self.statuses: dict[str, Status] = {}
        self.models = Residency(EngineOptions((), disk_gb=0), no_matcher, self.statuses)

    def load(self, model: str) -> None:
        self.models.load(model, self.folders[model])

    def submit(self, model: str, count: int = 5) -> Generation:
        self.load(model)
        request = Submit(model, next(_numbers), PROMPT, Sampling(temperature=0, max_tokens=count))
        generation = Generation(request, lambda _: None)
        self.models.submit(generation)
        return generation

    async def generated(self, *models: str) -> list[list[int]]:
        """Return what each of `models` says, all at once."""
        generations = [self.submit(model) for model in models]
        while not all(generation.ended for generation in generations):
            self.models.step()
        return [[token async for token in generation] for generation in generations]

    def budget(self, model: str) -> int:
        return self.models._schedulers[model]._prefixes.budget

    @property
    def resident(self) -> set[str]:
        assert {model for model, status in self.statuses.items() if status.loaded} == set(self.models._schedulers)
        return set(self.models._schedulers)


@pytest.fixture
def house(checkpoint: Path) -> Iterator[House]:
    house = House(checkpoint)
    yield house
    house.models.close()


@pytest.fixture
def room_for_one(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine just large enough for the checkpoint alone."""
    room = memory.needed(checkpoints.nbytes(checkpoint))
    monkeypatch.setattr(memory, "usable", lambda: room)


async def test_both_speak_at_once_and_share_the_memory_for_contexts(house: House) -> None:
    alone = [(await house.generated("tiny"))[0]]
    of_one = house.budget("tiny")
    alone += await house.generated("small")
    assert house.resident == {"tiny", "small"}
    assert house.budget("tiny") == house.budget("small") < of_one // 2
    assert await house.generated("tiny", "small") == alone
    assert alone[0] != alone[1]


@pytest.mark.usefixtures("room_for_one")
async def test_an_idle_model_makes_room_and_comes_back(house: House) -> None:
    alone = await house.generated("tiny")
    of_one = house.budget("tiny")
    of_second = await house.generated("small")
    assert house.resident == {"small"}
    assert await house.generated("tiny") == alone
    assert house.resident == {"tiny"}
    assert house.budget("tiny") == of_one
    assert await house.generated("small") == of_second


@pytest.mark.usefixtures("room_for_one")
def test_a_switch_of_models_never_holds_the_weights_of_both(house: House, checkpoint: Path) -> None:
    house.folders["another"] = checkpoint
    gc.collect()
    before = mx.get_active_memory()
    house.load("small")
    one = house.models._resident()
    for model in ("another", "small"):
        mx.reset_peak_memory()
        house.load(model)
        assert house.resident == {model}
        assert mx.get_peak_memory() - before < 1.1 * one


@pytest.mark.usefixtures("room_for_one")
async def test_a_model_at_work_is_not_disturbed_and_the_other_loads_when_it_has_finished(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generation, "HIGH_WATER", 6)
    working = house.submit("tiny", 200)
    while not working.overfull:
        house.models.step()
    for _ in range(2):  # running, and paused
        with pytest.raises(EngineError, match=r"another model is at work .* Try again when that has finished"):
            house.load("small")
        house.models.step()
    assert house.resident == {"tiny"}
    house.models.cancel(working)
    house.load("small")
    assert house.resident == {"small"}


@pytest.mark.usefixtures("room_for_one")
async def test_a_model_that_only_reads_ahead_makes_room(house: House) -> None:
    house.load("tiny")
    house.models.read_ahead("tiny", (300,) * 20_000)
    assert house.models.busy
    await house.generated("small")
    assert house.resident == {"small"}
    assert not house.models.busy


async def test_nothing_is_read_ahead_while_the_other_model_speaks(house: House) -> None:
    house.load("small")
    speaking = house.submit("tiny", 20)
    house.models.read_ahead("small", (300,) * 1000)
    (job,) = house.models._schedulers["small"]._ahead.jobs
    while not speaking.ended:
        house.models.step()
    assert job.done == 0
    while house.models.busy:
        house.models.step()
    assert job.done == 1000


async def test_while_one_model_loads_the_other_speaks_and_can_be_cancelled_and_the_progress_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaking, leaving = house.submit("tiny", 20), house.submit("tiny", 2000)
    told: list[LoadProgress] = []
    load = weights.load

    def slowly(folder: Path | None, report: Callable[[LoadProgress], None], *_: object) -> LoadedModel:
        leaving.closing = True
        while not speaking.ended:
            report(LoadProgress(len(told), 100))
            told.append(house.statuses["small"].progress)
        return load(folder, report)

    monkeypatch.setattr(weights, "load", slowly)
    house.load("small")
    assert len([token async for token in speaking]) == 20
    assert leaving.ended
    assert told == [LoadProgress(done, 100) for done in range(len(told))]
    assert house.statuses["small"].progress.done == house.statuses["small"].progress.total > 100


def test_a_load_that_fails_takes_no_memory_from_the_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> LoadedModel:
        raise OSError("the disk has failed")

    house.load("tiny")
    of_one = house.budget("tiny")
    monkeypatch.setattr(weights, "load", fail)
    with pytest.raises(OSError, match="has failed"):
        house.load("small")
    assert house.budget("tiny") == of_one
    assert house.resident == {"tiny"}


async def test_an_unloaded_model_comes_back_for_a_prompt_and_its_context_is_known_meanwhile(house: House) -> None:
    alone = await house.generated("tiny")
    loaded = house.statuses["tiny"]
    house.models.unload_idle()
    assert house.resident == set()
    assert house.statuses["tiny"] == Status(False, loaded.context_length, NOTHING_READ)
    generation = Generation(Submit("tiny", 0, PROMPT, Sampling(temperature=0, max_tokens=5)), lambda _: None)
    house.models.submit(generation)
    while not generation.ended:
        house.models.step()
    assert [token async for token in generation] == alone[0]


async def test_a_prompt_that_is_cancelled_already_loads_no_model(house: House) -> None:
    generation = Generation(Submit("tiny", 0, PROMPT, Sampling()), lambda _: None)
    generation.closing = True
    house.models.submit(generation)
    assert generation.ended
    assert house.resident == set()


async def test_what_is_at_work_is_not_unloaded_as_idle(house: House) -> None:
    house.submit("tiny", 2000)
    house.load("small")
    house.models.unload_idle()
    assert house.resident == {"tiny"}


def test_messages_about_a_model_that_is_not_in_memory_mean_nothing(house: House) -> None:
    house.models.read_ahead("tiny", (1, 2, 3))
    house.models.step()
    assert not house.models.busy
