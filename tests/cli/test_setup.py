"""`gptoss-acp setup`: what it recommends, and what it prints for the editor. Run as a whole it is in tests/e2e."""

from __future__ import annotations

import io
import json
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gptoss_acp import config_file
from gptoss_acp.cli import setup
from gptoss_acp.cli.setup import Choice
from gptoss_acp.engine import memory
from gptoss_acp.engine.checkpoints import WELL_KNOWN, Size

NONE, SHORT, LONG = 40_000_000_000, 20_000_000_000, 12_000_000_000
"""Bytes of weights that do not fit, that leave room for a short context, and for a long one."""


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Mac of 32 GB that lets a program use 22 GB."""
    monkeypatch.setattr(memory, "usable", lambda: 22 * 10**9)
    monkeypatch.setattr(memory, "total", lambda: 32 * 2**30)
    monkeypatch.setattr(memory, "on_processor", lambda: False)
    monkeypatch.setattr(memory, "on_metal", lambda: True)


def choice(name: str, nbytes: int) -> Choice:
    return Choice(name, "", Size(nbytes, 24 * 1024), present=False)


def output(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("choices", "wanted", "name"),
    [
        pytest.param([choice("a", LONG), choice("b", LONG - 1)], None, "a", id="the first with room enough"),
        pytest.param([choice("a", NONE), choice("b", LONG)], None, "b", id="not one that does not fit"),
        pytest.param(
            [choice("a", SHORT), choice("b", LONG)], None, "b", id="not a short context where another is long"
        ),
        pytest.param(
            [choice("a", SHORT), choice("b", SHORT - 10**8)], None, "b", id="the longer one of short contexts"
        ),
        pytest.param([choice("a", NONE + 1), choice("b", NONE)], None, "b", id="the smallest where none fits"),
        pytest.param([choice("a", LONG), choice("b", NONE)], "b", "b", id="the one asked for, though it is too large"),
    ],
)
def test_the_recommended_one(choices: list[Choice], wanted: str | None, name: str) -> None:
    assert setup._recommended(choices, wanted).name == name


def test_a_model_that_was_asked_for_is_offered_first_and_once() -> None:
    assert [choice.name for choice in setup._choices("tiny")] == ["tiny", *WELL_KNOWN]
    known = next(iter(WELL_KNOWN))
    assert [choice.name for choice in setup._choices(known)] == list(WELL_KNOWN)


def test_among_machines_it_is_judged_by_the_part_that_each_takes() -> None:
    alone = Choice("a", "", Size(NONE, 24 * 1024, undivided=2 * 10**9), present=False)
    assert alone.context == 0
    assert (replace(alone, machines=4).context or 0) > 65_536


def test_a_name_is_shown_as_it_is() -> None:
    console = Console(file=io.StringIO(), width=200)
    odd = choice("/models/[/b]", LONG)
    console.print(setup._table([odd], odd))
    assert "/models/[/b]" in output(console)


def test_every_well_known_checkpoint_is_described() -> None:
    assert list(setup.DESCRIPTIONS) == list(WELL_KNOWN)


def test_a_checkpoint_that_is_here_is_judged_by_its_own_files(checkpoint: Path) -> None:
    (own, *_) = setup._choices(str(checkpoint))
    assert own.size is not None
    assert own.size.nbytes == sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))
    assert own.context == 131_072


def test_the_context_is_shown_beside_each_checkpoint_also_of_those_that_are_not_recommended() -> None:
    console = Console(file=io.StringIO(), width=200)
    choices = [choice("short", SHORT), choice("long", LONG), choice("none", NONE)]
    console.print(setup._table(choices, choices[1]))
    short, long, none = output(console).splitlines()[1::2]
    assert choices[0].context
    assert f"{choices[0].context:,} tokens" in short
    assert "recommended" not in short
    assert "131,072 tokens" in long
    assert "recommended" in long
    assert "does not fit" in none


def test_where_none_fits_setup_says_what_is_short_and_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "usable", lambda: 2**34 * 2 // 3)
    monkeypatch.setattr(memory, "total", lambda: 2**34)
    console = Console(file=io.StringIO(), width=200, soft_wrap=True)
    setup._choose(console, None, ask=False, force=True)
    assert "needs about 13.9 GB" in output(console)
    assert "macOS lets programs wire 11.5 GB" in output(console)
    assert "`sudo sysctl iogpu.wired_limit_mb=14000`" in output(console)


def printed_server() -> dict[str, object]:
    console = Console(file=io.StringIO(), width=200)
    setup._show_editor(console)
    text = output(console)
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


def test_zeds_entry_says_that_it_is_one_of_the_users_own() -> None:
    assert printed_server()["type"] == "custom"


def test_the_machines_that_were_tried_are_kept_with_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    setup._keep(console, "tiny", Path("hosts.json"))
    assert "tiny is the model, computed by the machines of hosts.json" in output(console)
    kept = tomllib.loads(config_file.path().read_text("utf-8"))
    assert (kept["model"], kept["hosts"]) == ("tiny", str(tmp_path / "hosts.json"))
