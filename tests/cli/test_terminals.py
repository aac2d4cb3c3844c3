"""What `setup` and `editor` look like at a terminal, however wide: the real program, typed to."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pexpect
import pytest

from tests.support.agent_process import COMMAND, private_environment

pytestmark = pytest.mark.timeout(180)  # the program is started anew, on a machine that may have more to do

SECONDS = 90
_CONTROLS = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>])")


def spawn(home: Path, *arguments: str, columns: int = 80, **variables: str) -> pexpect.spawn[str]:
    home.mkdir(exist_ok=True)
    program = pexpect.spawn(
        COMMAND[0],
        [*COMMAND[1:], *arguments],
        cwd=str(home),
        env={**private_environment(home), "TERM": "xterm", **variables},
        dimensions=(40, columns),
        encoding="utf-8",
        timeout=SECONDS,
    )
    program.logfile_read = io.StringIO()
    return program


def check_lines(program: pexpect.spawn[str], columns: int, *names: str) -> None:
    """Each name is shown whole, and every line that has none fits the terminal."""
    assert isinstance(program.logfile_read, io.StringIO)
    shown = _CONTROLS.sub("", program.logfile_read.getvalue()).replace("\r\n", "\n")
    lines = [line.rpartition("\r")[2].rstrip() for line in shown.split("\n")]
    for name in names:
        assert any(name in line for line in lines), name
    for line in lines:
        assert len(line) <= columns or any(name in line for name in names), line


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
    check_lines(setup, columns, "openai/gpt-oss-20b", "mlx-community/gpt-oss-20b-MXFP4-Q8", "openai/gpt-oss-120b")
    chosen = spawn(tmp_path / "home", "setup", "--model", "tiny", columns=columns)
    chosen.expect("q to leave")
    chosen.send("\r")
    chosen.expect("From now on tiny is the model")
    chosen.expect("gptoss-acp editor")
    chosen.expect("What does this project do")
    chosen.expect('"type": "custom"')
    assert code(chosen) == 0
    check_lines(chosen, columns, f"{tmp_path}/home/config/gptoss-acp/config.toml", f'"command": "{COMMAND[0]}"')


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
    check_lines(editor, columns, str(settings), f'"command": "{COMMAND[0]}"', f"{settings}.backup-")
    assert "// mine" in settings.read_text()
    assert '"gpt-oss"' in settings.read_text()


def test_a_terminal_with_ascii_alone_is_no_hindrance(tmp_path: Path) -> None:
    setup = spawn(tmp_path / "home", "setup", "--model", "tiny", "--yes", LC_ALL="C", PYTHONIOENCODING="ascii")
    setup.expect("are all here and whole")
    setup.expect("agent_servers")
    assert code(setup) == 0
