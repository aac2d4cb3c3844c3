"""The demo as a newcomer runs it: the real agent, the bundled model, the SDK's client."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import REPOSITORY
from tests.support.tokens import final, numbers, tool_call

pytestmark = pytest.mark.timeout(300)  # models are loaded and speak, on a machine that may have more to do

DEMO = REPOSITORY / "scripts" / "demo.py"


def run_demo(*arguments: str, played: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the demo; with the script `played` in place of the model, which then holds no title."""
    scripted = {"GPTOSS_ACP_SCRIPT": played, "GPTOSS_ACP_TITLES": "off"} if played else {}
    return subprocess.run(
        [sys.executable, DEMO, *arguments],
        env={**os.environ, **scripted},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def rows(output: str) -> list[list[str]]:
    """The cells of the table at the output's end, a list for each line."""
    lines = output.rstrip().splitlines()
    first = max(number for number, line in enumerate(lines) if line.startswith("prompt "))
    return [re.split(r" {2,}", line) for line in lines[first:]]


def script(folder: Path, *generations: list[int], delay: float = 0) -> str:
    file = folder / "script.json"
    file.write_text(json.dumps({"generations": generations, "delay": delay}))
    return str(file)


CONVERSATION = [final("Hello."), final("1, 2"), final(numbers(3000)), final("Hello.")]
ENDINGS = ["end_turn", "end_turn", "cancelled", "end_turn"]


def test_the_whole_demo_streams_is_cancelled_goes_on_and_works() -> None:
    finished = run_demo()
    assert finished.returncode == 0, finished.stderr
    assert re.findall(r"^\[(\w+)\]$", finished.stdout, re.MULTILINE)[:4] == ENDINGS
    headings, *turns = rows(finished.stdout)
    assert headings == ["prompt", "first token", "first visible", "tokens", "tokens/s", "ended", "cancel to answer"]
    assert [turn[5] for turn in turns[:4]] == ENDINGS
    assert int(turns[1][3]) >= 300
    assert [turn[6] != "-" for turn in turns[:4]] == [False, False, True, False]
    assert len(turns) == 8
    assert "\nThe bug is fixed: tax.txt says 19 now.\n" in finished.stdout
    assert "\033" not in finished.stdout


def test_the_diff_the_permission_and_what_came_of_it_are_shown(tmp_path: Path) -> None:
    patch = "*** Begin Patch\n*** Update File: tax.txt\n-91\n+19\n*** End Patch"
    run = tool_call("functions.shell", '{"command": ["python3", "main.py"]}')
    work = [
        run,
        final("It fails."),
        tool_call("functions.read_file", '{"path": "tax.txt"}'),
        final("I see."),
        tool_call("functions.apply_patch", patch),
        final("Done."),
        run,
        final("It works."),
    ]
    finished = run_demo(played=script(tmp_path, *CONVERSATION, *work, delay=0.003))
    assert finished.returncode == 0, finished.stderr
    place = 0
    for line in (
        "? python3 main.py",
        "  The demo answers for you: Allow once",
        "* python3 main.py: failed",
        "  with tax: 191",
        "It fails.",
        "* Read tax.txt: completed",
        "  L1: 91",
        "? Edit tax.txt",
        "  -91",
        "  +19",
        "  Allow once / Always allow edits in this session / Reject?",
        "  The demo answers for you: Allow once",
        "* Edit tax.txt: completed",
        "Done.",
        "* python3 main.py: completed",
        "  with tax: 119",
        "It works.",
        "The bug is fixed: tax.txt says 19 now.",
    ):
        place = finished.stdout.index(f"\n{line}\n", place) + len(line)


def test_a_model_that_does_not_do_the_work_fails_nothing_but_is_shown_to_have_failed(tmp_path: Path) -> None:
    other = tool_call("functions.shell", json.dumps({"command": ["touch", str(tmp_path / "made")]}))
    finished = run_demo(played=script(tmp_path, *CONVERSATION, other, final(""), delay=0.003))
    assert finished.returncode == 0, finished.stderr
    assert "  The demo answers for you: Reject\n" in finished.stdout
    assert not (tmp_path / "made").exists()
    assert "\nThe bug is not fixed: all is as it was." in finished.stdout


def test_a_given_prompt_is_allowed_nothing(tmp_path: Path) -> None:
    call = tool_call("functions.shell", json.dumps({"command": ["touch", str(tmp_path / "made")]}))
    finished = run_demo("Do it", played=script(tmp_path, call, final("Well.")))
    assert finished.returncode == 0, finished.stderr
    assert "  The demo answers for you: Reject\n" in finished.stdout
    assert not (tmp_path / "made").exists()


def test_only_the_given_prompt_is_asked() -> None:
    finished = run_demo("Hello")
    assert finished.returncode == 0, finished.stderr
    _, turn = rows(finished.stdout)
    assert turn[0] == "Hello"
    assert turn[5] == "end_turn"
    assert re.fullmatch(r"\d+\.\d ms", turn[1])


@pytest.mark.parametrize(
    ("text", "message"), [("Too short to be cancelled.", "ended with end_turn instead of cancelled"), ("", "nothing")]
)
def test_a_wrong_answer_fails(tmp_path: Path, text: str, message: str) -> None:
    finished = run_demo(played=script(tmp_path, final(text)))
    assert finished.returncode == 1
    assert message in finished.stderr


def test_a_dead_agent_fails(tmp_path: Path) -> None:
    finished = run_demo(played=str(tmp_path / "missing.json"))
    assert finished.returncode == 1
    assert "The agent died, with exit code 1." in finished.stderr
