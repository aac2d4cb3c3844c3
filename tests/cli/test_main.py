"""The command line: every command is there, has a room of its own, and without one the agent is served."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from typing import Any

import pytest

from gptoss_acp import cli, settings, system
from gptoss_acp.cli import main

COMMANDS: list[tuple[str, str, dict[str, Any]]] = [
    ("", "serve", {}),
    ("--model tiny --seed 1", "serve", {"model": "tiny", "seed": 1}),
    ("setup", "setup", {"yes": False}),
    ("setup --yes", "setup", {"yes": True}),
    ("--model tiny setup", "setup", {"model": "tiny"}),
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

REFUSED = {
    "nonsense": "invalid choice",
    "sessions nonsense": "invalid choice",
    "sessions show": "required",
    "sessions show abc def": "unrecognized",
    "sessions delete": "required",
    "sessions export abc --format pdf": "invalid choice",
    "--nonsense": "unrecognized",
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


def test_every_room_is_reached_by_a_command() -> None:
    rooms = {module.name for module in pkgutil.iter_modules(cli.__path__)} - {"main", "checks"}
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
