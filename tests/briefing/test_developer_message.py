"""What a session is told before its conversation, and how much room that takes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from gptoss_acp import tools
from gptoss_acp.briefing import developer_message
from gptoss_acp.harmony import render
from gptoss_acp.session import Session
from gptoss_acp.settings import Settings
from tests.support.desk import Desk, new_journal
from tests.support.fake_engine import FakeEngine, RecordingUpdates
from tests.support.project import write


def test_the_branch_follows_the_shell_in_the_environment(repository: Path) -> None:
    *_, shell, branch = developer_message.environment(repository).split("\n")
    assert shell.startswith("Shell: ")
    assert branch == "Git branch: trunk"


def test_no_branch_outside_a_repository(tmp_path: Path) -> None:
    assert developer_message.environment(tmp_path).splitlines()[-1].startswith("Shell: ")


def test_how_to_use_tools_is_told_only_where_there_are_some(tmp_path: Path) -> None:
    told, without = (developer_message.compose(tmp_path, has_tools=has_tools) for has_tools in (True, False))
    assert told.endswith(f"\n{developer_message.environment(tmp_path)}")
    assert without.endswith(f"\n{developer_message.environment(tmp_path)}")
    assert "apply_patch" in told
    assert "apply_patch" not in without


def test_what_the_agent_asks_in_the_users_place_are_three_requests_of_their_own() -> None:
    requests = [developer_message.request(name) for name in ("compact", "init", "title")]
    assert all(request and request == request.strip() for request in requests)
    assert len(set(requests)) == 3


async def test_a_session_is_told_once_at_its_start(repository: Path) -> None:
    file = write(repository / "AGENTS.md", "Use tabs.")
    session = Session(Desk(repository).workspace, FakeEngine(), RecordingUpdates(), Settings(), new_journal())
    told = session._ledger.prefix[1].text
    assert told.endswith(f"Git branch: trunk\n\nInstructions from {file}:\n\nUse tabs.")


async def test_all_that_comes_before_a_conversation_takes_1300_tokens_at_most(repository: Path) -> None:
    folder = repository / "a/rather/long/way/down/from/its/root"
    folder.mkdir(parents=True)
    session = Session(Desk(folder).workspace, FakeEngine(), RecordingUpdates(), Settings(), new_journal())
    assert session._ledger.prefix_length <= 1300
    text = developer_message.compose(folder, has_tools=True)
    described = tools.descriptions()
    alone = render.system("medium", date(2026, 11, 22), described) + render.developer(text, described)
    assert session._ledger.prefix_length == len(alone)
