"""However ranks end, or what started them, nobody waits for ever and nothing is left over."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gptoss_acp.engine.api import EngineError, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.mlx_engine import MlxEngine
from gptoss_acp.engine.ranks import processes, supervisor, versions
from gptoss_acp.engine.ranks.supervisor import RankSupervisor
from gptoss_acp.engine.weights import LoadedModel
from tests.support.ranks import LOOPBACK, end, engine_of, fake_ssh, pids, supervised, write_hosts
from tests.support.stepping import Stage
from tests.support.waiting import settled, wait_until

GREEDY = Sampling(temperature=0, max_tokens=4)
LONG = Sampling(temperature=50, seed=1, max_tokens=100_000)
PROMPT = range(1000, 1100)

AGENT = """
import asyncio, sys
from pathlib import Path
from gptoss_acp.engine.api import Sampling
from tests.support.ranks import engine_of, pids, supervised

async def main():
    with supervised(Path(sys.argv[1])) as ranks:
        engine = engine_of(ranks)
        await engine.load()
        generation = engine.generate(range(1000, 1100), Sampling(temperature=50, seed=1, max_tokens=100_000))
        await anext(generation)
        print(*pids(ranks), flush=True)
        async for _ in generation:
            pass

asyncio.run(main())
"""


async def said(generation: Generation) -> list[int]:
    return [token async for token in generation]


async def loaded(ranks: RankSupervisor) -> MlxEngine:
    engine = engine_of(ranks)
    await engine.load()
    return engine


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_rank_that_is_lost_is_an_error_at_once_and_the_next_prompt_starts_all_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with supervised(write_hosts(tmp_path)) as ranks:
        engine = await loaded(ranks)
        expected = await said(engine.generate(PROMPT, GREEDY))
        for lost in (1, 0):
            running = [engine.generate(PROMPT, LONG), engine.generate(PROMPT, LONG)]
            await anext(running[0])
            before = pids(ranks)
            os.kill(before[lost], signal.SIGKILL)
            killed = time.monotonic()
            for generation in running:
                with pytest.raises(EngineError, match=rf"rank {lost} \(localhost\) was ended by SIGKILL.*afresh"):
                    await asyncio.wait_for(said(generation), 10)
            assert time.monotonic() - killed < 5  # some ms, but for a busy machine
            assert not ranks.status("tiny").loaded
            await settled(lambda: all(map(is_gone, before)))  # noqa: B023
            await engine.load()
            assert await said(engine.generate(PROMPT, GREEDY)) == expected
        monkeypatch.setattr(supervisor, "UNANSWERED_SECONDS", 0.5)
        frozen = engine.generate(PROMPT, LONG)
        await anext(frozen)
        os.kill(pids(ranks)[1], signal.SIGSTOP)
        await asyncio.wait_for(frozen.aclose(), 5)


async def test_a_frozen_rank_does_not_outlive_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "CLOSING_SECONDS", 0.5)
    with supervised(write_hosts(tmp_path)) as ranks:
        engine = await loaded(ranks)
        running = engine.generate(PROMPT, LONG)
        await anext(running)
        every = pids(ranks)
        os.kill(every[1], signal.SIGSTOP)
    assert all(map(is_gone, every))


def test_when_the_agent_is_killed_no_rank_is_left(tmp_path: Path) -> None:
    hosts = write_hosts(tmp_path)
    with subprocess.Popen([sys.executable, "-c", AGENT, str(hosts)], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        every = [int(pid) for pid in agent.stdout.readline().split()]
        assert len(every) == 2
        agent.kill()
    wait_until(lambda: all(map(is_gone, every)), 10)


async def test_a_restart_goes_on_from_what_every_rank_has_stored_and_other_machines_are_reached_by_ssh(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ssh(tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    hosts = write_hosts(tmp_path, LOOPBACK, {**LOOPBACK, "ssh": "elsewhere"})
    with supervised(hosts, disk_gb=1.0) as ranks:
        engine = await loaded(ranks)
        engine.read_ahead(PROMPT)
        await settled(lambda: len(list(tmp_path.glob("**/prefixes/*/*.safetensors"))) == 2, 20)
        end(ranks)
        engine = await loaded(ranks)
        generation = engine.generate([*PROMPT, 7], GREEDY)
        assert await said(generation) == await Stage(model).generated([*PROMPT, 7], GREEDY)
        assert generation.figures.cached_tokens == len(PROMPT)


def unreachable(folder: Path) -> Path:
    return write_hosts(folder, LOOPBACK, {**LOOPBACK, "ssh": "nobody@nowhere.invalid"})


def without_python(folder: Path) -> Path:
    return write_hosts(folder, LOOPBACK, {**LOOPBACK, "python": str(folder / "python")})


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        (without_python, "can't be started: .*python"),
        (unreachable, r"rank 1 \(nobody@nowhere.invalid\) has ended with code 255: .*nowhere"),
        (lambda folder: folder / "none.json", "hostfile .*none.json can't be read"),
    ],
    ids=["no python", "unreachable", "no file"],
)
async def test_ranks_that_cannot_start_are_a_clear_error_every_time(
    tmp_path: Path, hosts: Callable[[Path], Path], said: str
) -> None:
    with supervised(hosts(tmp_path)) as ranks:
        ranks.start()
        for _ in range(2):
            with pytest.raises(EngineError, match=said):
                await asyncio.wait_for(engine_of(ranks).load(), 20)


def test_a_rank_that_an_agent_of_another_version_starts_says_so_and_ends() -> None:
    rank = [sys.executable, "-P", "-m", processes.MODULE]
    done = subprocess.run(rank, input=b"gptoss-acp 0.0.1\nwhatever that pickles", capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stdout.decode() == f"here is {versions.GREETING}, and the agent has gptoss-acp 0.0.1\n"
