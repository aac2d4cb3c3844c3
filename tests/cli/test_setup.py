"""`gptoss-acp setup`: what it prints for the editor. Run as a whole it is in tests/e2e."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from gptoss_acp.cli import setup


def printed_server() -> dict[str, object]:
    console = Console(file=io.StringIO(), width=200)
    setup._show_editor(console, "tiny")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    server: dict[str, object] = json.loads(text[text.index("{") :])["agent_servers"]["gpt-oss"]
    return server


def test_what_lies_in_the_project_is_not_imported_by_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Path, "exists", lambda _: False
    )  # no program beside this Python, as with a plain `pip --target`
    server = printed_server()
    monkeypatch.undo()
    (tmp_path / "orjson.py").write_text("raise SystemExit('the project runs in the agent')")
    command = [str(server["command"]), *server["args"]]  # type: ignore[misc]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
