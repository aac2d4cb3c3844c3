"""`gptoss-acp sessions` as a person types it: the real program, on sessions that a store has written."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.ledger import Entry
from gptoss_acp.store import Store
from tests.support.agent_process import COMMAND

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, "sessions", *arguments], capture_output=True, text=True, check=False)

    return run


def text(kind: str, words: str) -> dict[str, Any]:
    return {"sessionUpdate": f"{kind}_message_chunk", "content": {"type": "text", "text": words}}


CONVERSATION = [
    text("user", "Fix the bug in a.py"),
    {"sessionUpdate": "usage_update", "used": 10, "size": 100},
    text("agent", "Let me "),
    text("agent", "look."),
    {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "Edit a.py", "kind": "edit", "status": "pending"},
    {
        "sessionUpdate": "tool_call_update",
        "toolCallId": "c",
        "status": "completed",
        "content": [{"type": "diff", "path": "/p/a.py", "oldText": "x = 1\n", "newText": "x = 2\n"}],
    },
    {
        "sessionUpdate": "tool_call",
        "toolCallId": "d",
        "title": "cat README.md",
        "kind": "execute",
        "status": "failed",
        "content": [{"type": "content", "content": {"type": "text", "text": "```sh\nls\n```"}}],
    },
    {
        "sessionUpdate": "plan",
        "entries": [
            {"content": "read", "priority": "medium", "status": "completed"},
            {"content": "mend", "priority": "medium", "status": "pending"},
        ],
    },
    text("agent", "Done: \u2713"),
]


def store(*titles: str | None, keep_open: bool = False) -> list[str]:
    """Store a session for each title, the last one being the newest, and return their ids."""

    async def write() -> list[str]:
        store = Store()
        ids = []
        for title in titles:
            session = store.create("/p", ["/q"], {"mode": "ask"})
            for update in CONVERSATION:
                session.record(update)
            session.record({"sessionUpdate": "session_info_update", "title": title})
            session.keep([Entry("user", (1, 2, 3), "Fix"), Entry("assistant", (4, 5), "hm", "analysis")])
            await session.commit()
            ids.append(session.info.id)
        if not keep_open:
            await store.close()
        return ids

    return asyncio.run(write())


def test_the_list_shows_the_newest_first(sessions: Command) -> None:
    first, second = store("First\nline", None)
    listed = sessions()
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout == sessions("list").stdout
    lines = listed.stdout.splitlines()
    assert [line[:8] for line in lines] == [second[:8], first[:8]]
    assert "First line" in lines[1]
    assert lines[0].endswith("/p")


def test_without_sessions_the_list_says_where_it_looked(sessions: Command, tmp_path: Path) -> None:
    listed = sessions()
    assert listed.returncode == 0
    assert "no sessions in" in listed.stdout
    assert str(tmp_path) in listed.stdout


def test_a_title_can_not_play_tricks_on_the_terminal(sessions: Command) -> None:
    store("\x1b[2Jgone")
    assert r"\u{1B}[2Jgone" in sessions().stdout


def test_show_says_what_a_session_is(sessions: Command) -> None:
    (session_id,) = store("Title")
    shown = sessions("show", session_id[:8])
    assert shown.returncode == 0
    for fact in (session_id, "Title", "/p, /q", "mode ask", "2 messages, 5 tokens"):
        assert fact in shown.stdout


def test_markdown_holds_the_conversation(sessions: Command) -> None:
    (session_id,) = store("Title")
    exported = sessions("export", session_id).stdout
    assert exported.startswith("# Title\n")
    assert exported[exported.index("## User") :] == (
        "## User\n\nFix the bug in a.py\n\n"
        "## Agent\n\nLet me look.\n\n"
        "### Edit a.py (completed)\n\n"
        "```diff\n--- /p/a.py\n+++ /p/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n```\n\n"
        "### cat README.md (failed)\n\n````\n```sh\nls\n```\n````\n\n"
        "Done: \u2713\n\n"
        "## Plan\n\n- [x] read\n- [ ] mend\n"
    )


def test_json_holds_what_a_replay_sends(sessions: Command) -> None:
    (session_id,) = store("Title")
    exported = json.loads(sessions("export", session_id, "--format", "json").stdout)
    assert (exported["sessionId"], exported["title"], exported["cwd"]) == (session_id, "Title", "/p")
    assert [update["sessionUpdate"] for update in exported["updates"]] == [
        *("user_message_chunk", "agent_message_chunk", "tool_call", "tool_call", "agent_message_chunk"),
        *("usage_update", "plan", "session_info_update"),
    ]


@pytest.mark.parametrize("form", ["md", "json"])
def test_reasoning_is_in_no_export(form: str, sessions: Command) -> None:
    (session_id,) = store("Title")
    exported = sessions("export", session_id, "--format", form).stdout
    assert "analysis" not in exported
    assert "hm" not in exported


def test_deleted_sessions_are_gone(sessions: Command) -> None:
    first, second, third = store("1", "2", "3")
    assert sessions("delete", first, third[:9]).returncode == 0
    assert [line[:8] for line in sessions().stdout.splitlines()] == [second[:8]]


def test_a_session_that_is_open_is_not_deleted(sessions: Command) -> None:
    (session_id,) = store("Title", keep_open=True)
    refused = sessions("delete", session_id)
    assert refused.returncode == 1
    assert "is open already, in process" in refused.stderr
    assert sessions("show", session_id).returncode == 0


@pytest.mark.parametrize(("prefix", "problem"), [("zzz", "no session begins with zzz"), ("", "2 sessions begin with")])
def test_an_id_that_means_no_session_or_several_is_refused(prefix: str, problem: str, sessions: Command) -> None:
    store("1", "2")
    for action in ("show", "export", "delete"):
        refused = sessions(action, prefix)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert problem in refused.stderr


def test_a_damaged_database_is_named(sessions: Command, tmp_path: Path) -> None:
    store("1")
    (file,) = tmp_path.rglob("sessions.db")
    file.write_bytes(b"nonsense" * 1000)
    refused = sessions()
    assert refused.returncode == 1
    assert "was damaged and has been set aside as sessions-damaged-" in refused.stderr
    assert sessions().returncode == 0
