"""The real program with `--hosts`: an editor sees an answer, its machines in `/status`, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.support.ranks import write_hosts
from tests.support.spawner import Spawner
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


def test_two_ranks_answer_an_editor_and_end_with_it(spawn: Spawner, tmp_path: Path) -> None:
    agent = spawn("--model", "tiny", "--hosts", str(write_hosts(tmp_path)))
    agent.initialize()
    session = agent.new_session()
    assert agent.result(agent.prompt(session, "Count to 5"))["stopReason"] == "end_turn"
    assert agent.messages(session)[-1] == "1, 2, 3, 4, 5"
    agent.result(agent.prompt(session, "/status"))
    status = agent.messages(session)[-1]
    assert "Machines: localhost (rank 0), localhost (rank 1); joined by ring, all there" in status
    assert "Memory: " in status
    ranks = psutil.Process(agent.process.pid).children(recursive=True)
    assert len(ranks) == 2
    agent.end()
    wait_until(lambda: not any(rank.is_running() for rank in ranks))
