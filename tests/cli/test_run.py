"""`gptoss-acp run`, in scripts and pipes: the real program, and what it samples played to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.agent_process import COMMAND
from tests.support.mcp_desk import PROGRAM
from tests.support.tokens import final, numbers, preamble, said, text_of, tool_call

SECONDS = 120
Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]

READS = tool_call("functions.read_file", '{"path": "a.txt"}')
EDITS = tool_call("functions.apply_patch", "*** Begin Patch\n*** Add File: new.txt\n+x\n*** End Patch")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("GPTOSS_ACP_SANDBOX", "off")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a.txt").write_text("hello\n")
    return tmp_path / "work"


def script(work: Path, generations: Sequence[Sequence[int]], delay: float = 0) -> Path:
    file = work.parent / "script.json"
    file.write_text(json.dumps({"generations": [list(ids) for ids in generations], "delay": delay}))
    return file


@pytest.fixture
def run(work: Path) -> Run:
    def running(generations: Sequence[Sequence[int]], *arguments: str, given: str | None = None) -> Ended:
        command = [*COMMAND, "--script", str(script(work, generations)), "run", *arguments]
        stdin = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
        return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, timeout=SECONDS, **stdin)

    return running


def test_the_answer_alone_goes_to_stdout_and_what_is_done_to_stderr(run: Run) -> None:
    ended = run([said(preamble("Let me look."), READS), final("It says hello.")], "What is in a.txt?")
    assert (ended.returncode, ended.stdout) == (0, "It says hello.\n")
    assert ended.stderr == "Let me look.\n- Read a.txt: completed\n"


def test_what_needs_a_question_is_refused_and_without_an_answer_that_is_the_exit_code(run: Run, work: Path) -> None:
    ended = run([EDITS], "Add a file", "--max-turn-requests", "1")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "- refused, for nobody can be asked: Add new.txt" in ended.stderr
    assert not (work / "new.txt").exists()
    answered = run([EDITS, final("I may not.")], "Add a file")
    assert (answered.returncode, answered.stdout) == (0, "I may not.\n")
    allowed = run([EDITS, final("Done.")], "Add a file", "--mode", "auto-edit")
    assert (allowed.returncode, allowed.stdout) == (0, "Done.\n")
    assert (work / "new.txt").read_text() == "x\n"


def test_a_turn_without_an_answer_fails(run: Run) -> None:
    ended = run([READS], "Look", "--max-turn-requests", "1")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "gptoss-acp: max_turn_requests" in ended.stderr


def test_what_comes_on_stdin_is_told_too_or_is_the_prompt(run: Run, work: Path) -> None:
    for arguments, given, prompt in (
        (("Explain",), "a\nb\n", "Explain\n\nStandard input:\n```\na\nb\n```"),
        ((), "Explain this", "Explain this"),
        (("Explain",), "", "Explain"),
    ):
        trace = work.parent / "trace"
        trace.unlink(missing_ok=True)
        assert run([final("Ok.")], *arguments, "--trace", str(trace), given=given).returncode == 0
        ids = map(int, trace.read_text().split("\n")[0].split()[1:])
        assert f"<|start|>user<|message|>{prompt}<|end|>" in text_of(list(ids))


def test_updates_are_lines_of_json_and_the_last_is_the_end_of_the_turn(run: Run) -> None:
    ended = run([said(preamble("Let me look."), READS), final("It says hello.")], "--json", "What is in a.txt?")
    *updates, last = map(json.loads, ended.stdout.splitlines())
    assert ended.returncode == 0
    assert {"agent_message_chunk", "tool_call", "tool_call_update"} <= {update["sessionUpdate"] for update in updates}
    assert (last["stopReason"], last["answer"]) == ("end_turn", "It says hello.")
    assert "usage" in last


def test_it_can_be_cancelled(work: Path) -> None:
    file = script(work, [final(numbers(1000))], delay=0.01)
    command = [*COMMAND, "--script", str(file), "run", "--json", "Count"]
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "agent_message_chunk" in line:
                break
        running.send_signal(signal.SIGINT)
        *_, last = running.stdout.readlines()
        assert running.wait(SECONDS) == 130
    assert json.loads(last)["stopReason"] == "cancelled"


def test_another_folder_and_mcp_servers_can_be_named(run: Run, work: Path) -> None:
    (work / "inner").mkdir()
    server = {
        "command": sys.executable,
        "args": [str(PROGRAM), "stdio", str(work / "inner")],
        "env": {"MCP_TEST_KEY": "x"},
    }
    (work / "mcp.json").write_text(json.dumps({"mcpServers": {"test": server}}))
    called = tool_call("functions.test__add", '{"a": 1, "b": 2}')
    arguments = ("--cwd", "inner", "--mcp", str(work / "mcp.json"), "--mode", "full-access")
    ended = run([called, tool_call("container.exec", '{"cmd": ["pwd"]}'), final("3")], "Add", *arguments)
    assert (ended.returncode, ended.stdout) == (0, "3\n")
    assert "- test: Add two numbers, says that it changes nothing: completed" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "there is no prompt"),
        (("Go", "--cwd", "nowhere"), "nowhere is no folder"),
        (("Go", "--mcp", "nowhere.json"), "nowhere.json: No such file"),
        (("Go", "--mcp", "a.txt"), "a.txt is not JSON of the form"),
    ],
)
def test_what_is_wrong_on_the_line_is_said(arguments: tuple[str, ...], problem: str, run: Run) -> None:
    ended = run([final("Ok.")], *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"gptoss-acp: {problem}")


def test_without_a_model_it_says_what_to_do(work: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "run", "Go", "--model", "openai/gpt-oss-20b"],
        cwd=work,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert ended.returncode == 1
    assert "is not on this machine yet. Run `gptoss-acp setup` first." in ended.stderr
    assert "Traceback" not in ended.stderr
