"""What `setup` and `editor` look like at a terminal, however wide: the real program, typed to."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect
import pytest

from tests.support.agent_process import COMMAND, private_environment

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind"),
]

SECONDS = 90


def spawn(home: Path, *arguments: str, columns: int = 80, **variables: str) -> pexpect.spawn[str]:
    home.mkdir(exist_ok=True)
    return pexpect.spawn(
        COMMAND[0],
        [*COMMAND[1:], *arguments],
        cwd=str(home),
        env={**private_environment(home), "TERM": "xterm", **variables},
        dimensions=(40, columns),
        encoding="utf-8",
        timeout=SECONDS,
    )


def code(program: pexpect.spawn[str]) -> int | None:
    program.expect(pexpect.EOF)
    program.close()
    return program.exitstatus


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_setup_shows_whole_names_and_ends_with_what_to_do_next(columns: int, tmp_path: Path) -> None:
    setup = spawn(tmp_path / "home", "setup", columns=columns)
    setup.expect("openai/gpt-oss-20b")
    setup.expect("mlx-community/gpt-oss-20b-MXFP4-Q8")
    setup.expect("openai/gpt-oss-120b")
    setup.expect("a number, another name, or q to leave")
    setup.send("q\r")
    setup.expect("Nothing was downloaded, and nothing was changed.")
    assert code(setup) == 130
    chosen = spawn(tmp_path / "home", "setup", "--model", "tiny", columns=columns)
    chosen.expect("q to leave")
    chosen.send("\r")
    chosen.expect("From now on tiny is the model")
    chosen.expect("gptoss-acp editor")
    chosen.expect("What does this project do")
    chosen.expect('"type": "custom"')
    assert code(chosen) == 0


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_editor_shows_what_it_would_add_and_adds_it_after_a_yes(columns: int, tmp_path: Path) -> None:
    settings = tmp_path / "home/config/zed/settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{\n  // mine\n  "theme": "One Dark",\n}\n')
    editor = spawn(tmp_path / "home", "editor", "zed", columns=columns)
    editor.expect("agent_servers")
    editor.expect("Add it")
    editor.send("n\r")
    assert code(editor) == 0
    assert "agent_servers" not in settings.read_text()
    editor = spawn(tmp_path / "home", "editor", "zed", columns=columns)
    editor.expect("Add it")
    editor.send("y\r")
    editor.expect("Done")
    assert code(editor) == 0
    assert "// mine" in settings.read_text()
    assert '"gpt-oss"' in settings.read_text()


def test_a_terminal_with_ascii_alone_is_no_hindrance(tmp_path: Path) -> None:
    setup = spawn(tmp_path / "home", "setup", "--model", "tiny", "--yes", LC_ALL="C", PYTHONIOENCODING="ascii")
    setup.expect("are all here and whole")
    setup.expect("agent_servers")
    assert code(setup) == 0
