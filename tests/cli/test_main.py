"""The command line: every command is there, has a room of its own, and without one the agent is served."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp import cli, mlx_extras, settings, system
from gptoss_acp.cli import main
from tests.support.agent_process import COMMAND, private_environment
from tests.support.tokens import final

COMMANDS: list[tuple[str, str, dict[str, Any]]] = [
    ("", "serve", {}),
    ("--model tiny --seed 1", "serve", {"model": "tiny", "seed": 1}),
    ("setup", "setup", {"yes": False, "force": False}),
    ("setup --yes", "setup", {"yes": True}),
    ("--model tiny setup", "setup", {"model": "tiny"}),
    ("setup --model tiny", "setup", {"model": "tiny"}),
    ("--seed 3 setup --yes --model tiny", "setup", {"model": "tiny", "yes": True, "seed": 3}),
    ("config", "config", {"action": None}),
    ("config set model tiny", "config", {"action": "set", "name": "model", "value": "tiny"}),
    ("config unset model", "config", {"action": "unset", "name": "model"}),
    ("run x --json", "run", {"prompt": "x", "json": True, "cwd": "", "mcp": None}),
    ("chat", "chat", {"go_on": False, "resume": None, "cwd": "", "mcp": None}),
    ("chat --continue", "chat", {"go_on": True}),
    ("chat --resume abc --cwd x", "chat", {"resume": "abc", "cwd": "x"}),
    ("run", "run", {"prompt": None, "json": False}),
    ("completion zsh", "completion", {"shell": "zsh"}),
    ("help", "help", {"about": None}),
    ("help setup", "help", {"about": "setup"}),
    ("editor", "editor", {"name": None, "yes": False, "print": False, "remove": False}),
    ("editor zed --yes", "editor", {"name": "zed", "yes": True}),
    ("editor vscode --print", "editor", {"name": "vscode", "print": True}),
    ("editor emacs --remove", "editor", {"name": "emacs", "remove": True}),
    ("sessions", "sessions", {"action": None}),
    ("sessions list", "sessions", {"action": "list"}),
    ("sessions show abc", "sessions", {"action": "show", "id": "abc"}),
    ("sessions export abc", "sessions", {"action": "export", "id": "abc", "format": "md"}),
    ("sessions export --format json abc", "sessions", {"action": "export", "id": "abc", "format": "json"}),
    ("sessions delete abc def", "sessions", {"action": "delete", "id": ["abc", "def"]}),
    ("cache", "cache", {"clear": False}),
    ("cache --clear", "cache", {"clear": True}),
    ("doctor", "doctor", {"json": False}),
    ("--model tiny doctor --json", "doctor", {"json": True, "model": "tiny"}),
]

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is full")
@pytest.mark.parametrize("command", ["config", "editor", "doctor --json", "setup --yes --model tiny", "run Hello"])
def test_a_full_disk_is_told_in_one_line(command: str, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"generations": [final("Ok.")]}))
    with FULL.open("w") as full:
        ended = subprocess.run(
            [*COMMAND, "--script", str(script), *command.split()],
            env=private_environment(tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, "gptoss-acp: No space left on device.\n")


@pytest.mark.parametrize("command", ["setup", "chat", "editor zed"])
def test_with_a_closed_input_there_is_nobody_to_ask(command: str, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"generations": []}))
    line = f"{COMMAND[0]} --script {script} --model tiny {command} <&-"
    ended = subprocess.run(
        ["sh", "-c", line], env=private_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert ended.returncode == (0 if command == "chat" else 1)
    assert "Traceback" not in ended.stderr
    assert command == "chat" or "There is nobody to ask." in ended.stdout + ended.stderr


REFUSED = {
    "nonsense": "invalid choice",
    "sessions nonsense": "invalid choice",
    "editor nano": "invalid choice",
    "editor zed --print --remove": "not allowed with",
    "sessions show": "required",
    "sessions show abc def": "unrecognized",
    "sessions delete": "required",
    "sessions export abc --format pdf": "invalid choice",
    "--nonsense": "unrecognized",
    "chta": "Is chat meant?",
    "--model tiny chta": "Is chat meant?",
    "tiny --modle x": "invalid choice: 'tiny'",
    "--modle tiny chat": "unrecognized arguments: --modle\nIs --mode or --model meant?",
    "chat --modle tiny": "unrecognized arguments: --modle tiny\nIs --mode or --model meant?",
}


@pytest.mark.parametrize(("line", "command", "given"), COMMANDS)
def test_a_command_runs_in_its_own_room_with_what_it_was_given(
    line: str, command: str, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[settings.Settings, argparse.Namespace]] = []
    room = importlib.import_module(f"gptoss_acp.cli.{command}")
    monkeypatch.setattr(room, "run", lambda *arguments: ran.append(arguments))
    monkeypatch.setattr("sys.argv", ["gptoss-acp", *line.split()])
    main.main()
    ((chosen, parsed),) = ran
    assert {name: vars(parsed)[name] for name in given} == given
    assert chosen.model == given.get("model", settings.Settings.model)


@pytest.mark.parametrize("shell", main.SHELLS)
def test_what_completes_the_command_line_knows_the_commands_and_their_options(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gptoss-acp", "completion", shell])
    main.main()
    script = capsys.readouterr().out
    for word in ("gptoss-acp", "setup", "sessions", "export", "effort", "medium"):
        assert word in script
    if program := shutil.which(shell):
        assert subprocess.run([program, "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("line", ["help sessions", "sessions --help"])
def test_help_is_an_option_and_a_command(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gptoss-acp", *line.split()])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "List, show, export or delete stored sessions." in shown
    assert "--temperature" not in shown


@pytest.mark.parametrize("command", ["completion bash", "config"])
def test_a_reader_that_has_seen_enough_is_no_error(command: str) -> None:
    line = f"{COMMAND[0]} {command} | head -n 1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_an_option_may_stand_behind_what_a_command_is_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gptoss-acp", "config", "path", "--log-level", "debug"])
    main.main()
    assert capsys.readouterr().out.endswith("config.toml\n")


def test_every_room_is_reached_by_a_command() -> None:
    names = {module.name for module in pkgutil.iter_modules(cli.__path__)}
    rooms = {name for name in names if hasattr(importlib.import_module(f"gptoss_acp.cli.{name}"), "run")}
    assert rooms == {command for _, command, _ in COMMANDS}


@pytest.mark.parametrize(("line", "problem"), REFUSED.items())
def test_a_line_that_means_nothing_is_refused_with_what_is_wrong(
    line: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gptoss-acp", *line.split()])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("line", ["", "setup --yes", "sessions list", "cache"])
def test_a_system_on_which_it_does_not_run_ends_every_command_with_a_sentence(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "here", lambda: system.System("win32", "AMD64", "11"))
    monkeypatch.setattr("sys.argv", ["gptoss-acp", *line.split()])
    with pytest.raises(SystemExit, match=r"^gptoss-acp runs on macOS 14 .* another \(win32\)\.$"):
        main.main()


BLOCKED = """
import sys
sys.modules["mlx"] = None
sys.argv = ["gptoss-acp", *sys.argv[1:]]
from gptoss_acp.cli.main import main
main()
"""


@pytest.mark.parametrize("command", ["setup", "run Hello"])
def test_without_mlx_it_is_said_what_to_install(command: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BLOCKED, *command.split(), "--model", "tiny"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert mlx_extras.how_to_install() in ended.stderr
