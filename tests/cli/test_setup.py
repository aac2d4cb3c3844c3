"""`gptoss-acp setup`: what it recommends, and what it prints for the editor. Run as a whole it is in tests/e2e."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from gptoss_acp.cli import setup
from gptoss_acp.cli.setup import WELL_KNOWN, Choice
from gptoss_acp.engine import memory

SMALL, LARGE = (Choice(name, "", gb, fits=True, present=False) for name, gb in (("small", 12.0), ("large", 60.0)))


def none_fits(*choices: Choice) -> list[Choice]:
    return [Choice(one.name, one.description, one.gb, fits=False, present=one.present) for one in choices]


@pytest.mark.parametrize(
    ("choices", "wanted", "name"),
    [
        pytest.param([LARGE, SMALL], None, "large", id="the first that fits"),
        pytest.param([*none_fits(LARGE), SMALL], None, "small", id="not one that does not fit"),
        pytest.param(none_fits(LARGE, SMALL), None, "small", id="the smallest where none fits"),
        pytest.param(
            [SMALL, *none_fits(LARGE)], "large", "large", id="the one that was asked for, though it is too large"
        ),
    ],
)
def test_the_recommended_one(choices: list[Choice], wanted: str | None, name: str) -> None:
    assert setup._recommended(choices, wanted).name == name


def test_a_model_that_was_asked_for_is_offered_first_and_once() -> None:
    assert [choice.name for choice in setup._choices("tiny")] == ["tiny", *WELL_KNOWN]
    known = next(iter(WELL_KNOWN))
    assert [choice.name for choice in setup._choices(known)] == list(WELL_KNOWN)


def test_on_a_small_machine_the_well_known_models_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "usable", lambda: 8 * 10**9)
    assert not any(choice.fits for choice in setup._choices(None))
    monkeypatch.setattr(memory, "usable", lambda: 10**12)
    assert all(choice.fits for choice in setup._choices(None))


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
