"""Two ranks say what one process says, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gptoss_acp.cli import serve
from gptoss_acp.engine import weights
from gptoss_acp.engine.api import EngineError, PromptTooLongError, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.messages import Load, Unload
from gptoss_acp.engine.mlx_engine import MlxEngine
from gptoss_acp.engine.ranks.supervisor import RankSupervisor
from gptoss_acp.engine.weights import LoadedModel
from gptoss_acp.harmony import render
from gptoss_acp.harmony.constraint import Constraint
from tests.support import random_checkpoint
from tests.support.ranks import engine_of, pids, supervised, write_hosts
from tests.support.stepping import Stage
from tests.support.waiting import settled

GREEDY = Sampling(temperature=0, max_tokens=12)
SEEDED = Sampling(temperature=1.5, top_p=0.9, seed=3, max_tokens=12)
LONG = Sampling(temperature=5, seed=1, max_tokens=5000)
TOOL = Constraint((("functions.read", json.dumps({"type": "object", "properties": {"path": {"type": "string"}}})),))


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RankSupervisor]:
    with supervised(write_hosts(tmp_path_factory.mktemp("hosts"))) as supervisor:
        yield supervisor


@pytest.fixture
async def engine(ranks: RankSupervisor) -> MlxEngine:
    engine = engine_of(ranks)
    await engine.load()
    return engine


def asking(text: str) -> list[int]:
    return [*render.user(text), *render.ASSISTANT_START]


async def said(generation: Generation) -> list[int]:
    return [token async for token in generation]


async def alone(model: LoadedModel, text: str, sampling: Sampling, constraint: Constraint | None = None) -> list[int]:
    """Return what one process says."""
    stage = Stage(model, build_matcher=serve._matcher)
    return await stage.generated(asking(text), sampling, constraint=constraint)


@pytest.mark.parametrize(
    ("sampling", "constraint"), [(GREEDY, None), (SEEDED, None), (SEEDED, TOOL)], ids=["greedy", "seeded", "grammar"]
)
async def test_two_ranks_say_what_one_process_says(
    engine: MlxEngine, model: LoadedModel, sampling: Sampling, constraint: Constraint | None
) -> None:
    tokens = await said(engine.generate(asking("Count to 30"), sampling, constraint=constraint))
    assert tokens == await alone(model, "Count to 30", sampling, constraint)


async def test_four_at_once_each_say_what_they_would_alone(engine: MlxEngine, model: LoadedModel) -> None:
    every = [
        ("Count to 30", GREEDY, None),
        ("Hello", SEEDED, None),
        ("Read it", SEEDED, TOOL),
        ("word " * 200, GREEDY, None),
    ]
    together = [engine.generate(asking(text), sampling, constraint=held) for text, sampling, held in every]
    tokens = await asyncio.gather(*(said(generation) for generation in together))
    assert tokens == [await alone(model, *one) for one in every]


async def test_a_cancel_is_answered_and_changes_nothing_for_the_others(engine: MlxEngine, model: LoadedModel) -> None:
    speaking = engine.generate(asking("Count to 30"), GREEDY)
    reading, drawing = engine.generate(asking("word " * 3000), GREEDY), engine.generate(asking("Hello"), LONG)
    start = [await anext(speaking), await anext(speaking)]
    await anext(drawing)
    await asyncio.wait_for(asyncio.gather(reading.aclose(), drawing.aclose()), 10)
    assert start + await said(speaking) == await alone(model, "Count to 30", GREEDY)
    assert reading.figures.generated_tokens == 0


async def test_a_turn_reads_only_what_is_new(engine: MlxEngine, model: LoadedModel) -> None:
    first = engine.generate(asking("Read this: " + "word " * 60), GREEDY)
    prompt = [*first.request.prompt, *await said(first)]
    more = engine.generate([*prompt, *asking("And now?")], GREEDY)
    tokens = await said(more)
    assert more.figures.cached_tokens == len(first.request.prompt) - 1
    assert tokens == await Stage(model).generated(more.request.prompt, GREEDY)


async def test_a_slow_reader_pauses_its_generation_which_goes_on_exactly_where_it_was(
    engine: MlxEngine, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generation, "HIGH_WATER", 4)
    monkeypatch.setattr(Generation, "LOW_WATER", 2)
    # So many that it can't end before the word to pause has come.
    sampling = Sampling(temperature=0, max_tokens=40)
    waiting = engine.generate(asking("Count to 100"), sampling)
    tokens = [await anext(waiting)]
    await settled(lambda: waiting._paused, 20)
    tokens += await said(waiting)
    monkeypatch.undo()
    assert tokens == await alone(model, "Count to 100", sampling)


async def test_what_can_not_be_is_refused_and_the_ranks_stay(engine: MlxEngine, ranks: RankSupervisor) -> None:
    before = pids(ranks)
    with pytest.raises(PromptTooLongError):
        engine.generate([300] * engine.context_length, GREEDY)
    with pytest.raises(EngineError, match=r"AttributeError|tools"):
        await said(engine.generate(asking("Hello"), GREEDY, constraint="none that the grammar knows"))
    with pytest.raises(EngineError, match="no folder"):
        await asyncio.wrap_future(ranks.load(Load("./nowhere", None)))
    assert await said(engine.generate(asking("Hello"), GREEDY))
    assert pids(ranks) == before


async def test_another_model_loads_while_one_speaks_which_is_cancelled_meanwhile(
    engine: MlxEngine, ranks: RankSupervisor, tmp_path: Path
) -> None:
    folder = random_checkpoint.write(tmp_path / "mxfp4", random_checkpoint.as_published(random_checkpoint.weights(1)))
    speaking = engine.generate(asking("Hello"), LONG)
    await anext(speaking)
    other = engine_of(ranks, str(folder))
    loading = asyncio.ensure_future(other.load())
    await anext(speaking)
    await asyncio.wait_for(speaking.aclose(), 20)
    await loading
    tokens = await said(other.generate(range(1000, 1100), GREEDY))
    assert tokens == await Stage(weights.load(folder)).generated(range(1000, 1100), GREEDY)


async def test_what_is_cancelled_while_a_model_loads_says_nothing_and_the_others_go_on(
    engine: MlxEngine, ranks: RankSupervisor, tmp_path: Path
) -> None:
    folder = random_checkpoint.write(tmp_path / "mxfp4", random_checkpoint.as_published(random_checkpoint.weights(1)))
    other = engine_of(ranks, str(folder))
    await other.load()
    ranks.send(Unload())
    speaking = engine.generate(asking("Hello"), LONG)
    await anext(speaking)
    waiting = other.generate(asking("Hello"), LONG)  # for its own model
    await asyncio.wait_for(waiting.aclose(), 20)
    await settled(lambda: waiting.ended, 60)  # its model is loaded first, in between others' steps
    assert waiting.figures.generated_tokens == 0
    ranks.send(Unload())
    loading = asyncio.ensure_future(other.load())
    cancelled: list[Generation] = []
    while not loading.done():  # behind the other model
        cancelled.append(engine.generate(asking("Hello"), LONG))
        await asyncio.sleep(0.004)
        await asyncio.wait_for(cancelled[-1].aclose(), 20)
    await settled(lambda: all(generation.ended for generation in cancelled), 60)
    await anext(speaking)
    await asyncio.wait_for(speaking.aclose(), 20)
    assert await said(other.generate(asking("Hello"), GREEDY))
