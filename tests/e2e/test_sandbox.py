"""The sandbox through the real program: commands in it, here and in an editor's terminal, and servers that go on."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.workspace import bubblewrap
from tests.support.editor import Editor, opened
from tests.support.processes import running
from tests.support.tokens import final, tool_call
from tests.support.waiting import settled

pytestmark = pytest.mark.skipif(bubblewrap.program([]) is None, reason="no bubblewrap that works here")
OPTIONS = ["--mode", "auto-edit", "--sandbox", "require"]
CLIENTS = pytest.mark.parametrize("client", [{}, {"terminal": True}], ids=["bare client", "editor"])


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder outside of `/tmp`, which is another one in the sandbox."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def run(script: str, **more: Any) -> list[int]:
    return tool_call("container.exec", json.dumps({"command": ["sh", "-c", script], **more}))


@CLIENTS
async def test_commands_run_in_the_sandbox_and_what_it_stops_is_asked_about(
    client: dict[str, Any], tmp_path: Path
) -> None:
    editor = Editor("reject_once")
    script = [run("echo x > made && echo $TMPDIR"), run("echo y > ../outside"), final("Done.")]
    async with opened(editor, tmp_path, *script, arguments=OPTIONS, **client) as session:
        assert await session.prompt() == "end_turn"
        assert await session.prompt("/status") == "end_turn"
        await editor.until(
            lambda: "Commands: in a sandbox: writes only in the session's folders and /tmp" in editor.text()
        )
    assert (tmp_path / "work/made").read_text() == "x\n"
    assert not (tmp_path / "outside").exists()
    (asked,) = editor.permissions
    assert "not sandboxed" in str(asked)
    assert "Read-only file system" in str(asked)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the program makes what is temporary."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


async def test_when_the_program_ends_nothing_temporary_stays_nor_what_commands_may_not_leave(
    temporary: Path, tmp_path: Path
) -> None:
    puts = run("mkdir .vscode && echo x > .vscode/tasks.json && exec sleep 61.5", background=True)
    async with opened(Editor("reject_once"), tmp_path, puts, final("Done."), arguments=OPTIONS) as session:
        assert await session.prompt() == "end_turn"
        await settled((tmp_path / "work/.vscode/tasks.json").exists)
        assert list(temporary.iterdir())
    await settled(lambda: not running("sleep 61.5"))
    assert not list(temporary.iterdir())
    assert not (tmp_path / "work/.vscode").exists()
    (aside,) = (tmp_path / "home/state/gptoss-acp/moved-aside").glob("*/.vscode/tasks.json")
    assert aside.read_text() == "x\n"


async def test_what_a_killed_program_has_left_the_next_one_removes(temporary: Path, tmp_path: Path) -> None:
    script = [run("echo x > $TMPDIR/x"), final("Done.")]
    with contextlib.suppress(ConnectionError):
        async with opened(Editor("reject_once"), tmp_path, *script, arguments=OPTIONS) as session:
            assert await session.prompt() == "end_turn"
            session.process.kill()
            await session.process.wait()
    (left,) = temporary.iterdir()
    assert (left / "x").exists()
    os.utime(left, (0, 0))
    async with opened(Editor("reject_once"), tmp_path, final("Hello."), arguments=OPTIONS):
        await settled(lambda: not left.exists())


@CLIENTS
async def test_a_server_goes_on_is_reached_and_ends_with_the_program(client: dict[str, Any], tmp_path: Path) -> None:
    editor = Editor("reject_once")
    script = [
        run("mkfifo pipe; while :; do echo hello > pipe; done & exec sleep 61.75", background=True),
        run("pgrep -f 'sleep 61.7[5]' && cat pipe && kill -0 1"),
        final("Done."),
    ]
    async with opened(editor, tmp_path, *script, arguments=OPTIONS, **client) as session:
        assert await session.prompt() == "end_turn"
        assert [call["status"] for call in editor.calls()] == ["completed", "completed"], editor.calls()
        assert await session.prompt("/status") == "end_turn"
        await editor.until(lambda: "In the background: 1. `sh -c 'mkfifo" in editor.text())
        assert running("sleep 61.75")
    await settled(lambda: not running("sleep 61.75"))
