"""The demo as a newcomer runs it: the real agent, the bundled model, the SDK's client."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gptoss_acp.harmony import encoding

DEMO = Path(__file__).parents[1] / "scripts" / "demo.py"


def run_demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DEMO, *arguments],
        env={**os.environ, **environment},
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


def script(folder: Path, text: str) -> str:
    file = folder / "script.json"
    message = [encoding.CHANNEL, *encoding.encode_text("final"), encoding.MESSAGE, *encoding.encode_text(text)]
    file.write_text(json.dumps({"generations": [[*message, encoding.RETURN]]}))
    return str(file)


def test_the_whole_conversation_streams_is_cancelled_and_goes_on() -> None:
    finished = run_demo()
    assert finished.returncode == 0, finished.stderr
    assert re.findall(r"^\[(\w+)\]$", finished.stdout, re.MULTILINE) == [
        "end_turn",
        "end_turn",
        "cancelled",
        "end_turn",
    ]
    headings, *turns = rows(finished.stdout)
    assert headings == ["prompt", "first token", "first visible", "tokens", "tokens/s", "ended", "cancel to answer"]
    assert [turn[5] for turn in turns] == ["end_turn", "end_turn", "cancelled", "end_turn"]
    assert int(turns[1][3]) >= 300
    assert [turn[6] != "-" for turn in turns] == [False, False, True, False]
    assert "\033" not in finished.stdout


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
    finished = run_demo(GPTOSS_ACP_SCRIPT=script(tmp_path, text))
    assert finished.returncode == 1
    assert message in finished.stderr


def test_a_dead_agent_fails(tmp_path: Path) -> None:
    finished = run_demo(GPTOSS_ACP_SCRIPT=str(tmp_path / "missing.json"))
    assert finished.returncode == 1
    assert "The agent died, with exit code 1." in finished.stderr
