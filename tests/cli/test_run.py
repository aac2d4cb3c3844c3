"""`gptoss-acp run`, in scripts and pipes: the real program, and what it samples played to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from gptoss_acp.store import Archive
from gptoss_acp.vocabulary import END
from tests.support.agent_process import COMMAND
from tests.support.mcp_desk import PROGRAM
from tests.support.thoughts import untimed
from tests.support.tokens import final, message, numbers, preamble, said, text_of, thought, tool_call

SECONDS = 120
PIPED: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
PIPES: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": PIPE, "stderr": PIPE, "text": True}
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
    ended = run([said(thought("Hm."), preamble("Let me look."), READS), final("It says hello.")], "What is in a.txt?")
    assert (ended.returncode, ended.stdout) == (0, "It says hello.\n")
    assert untimed(ended.stderr) == "Thinking · 6 tokens\nLet me look.\n- Read a.txt: completed\n"


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
    assert "gptoss-acp: The turn was ended: it took as many model calls as --max-turn-requests" in ended.stderr


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
    looks = said(thought("Hm."), preamble("Let me look."), READS)
    ended = run([looks, final("It says hello.")], "--json", "What is in a.txt?")
    *updates, last = map(json.loads, ended.stdout.splitlines())
    assert ended.returncode == 0
    kinds = {update["sessionUpdate"] for update in updates}
    assert {"agent_thought_chunk", "agent_message_chunk", "tool_call", "tool_call_update"} <= kinds
    assert (last["stopReason"], last["answer"]) == ("end_turn", "It says hello.")
    assert Archive().info(last["sessionId"]).title == "What is in a.txt?"
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
        (("  ",), "there is no prompt"),
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


def test_a_model_that_can_not_be_had_is_no_reason_to_set_up(work: Path) -> None:
    ended = subprocess.run([*COMMAND, "run", "Go", "--model", "gpt-oss-20b"], check=False, **PIPED, cwd=work)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("gptoss-acp: There is no model gpt-oss-20b. Is openai/gpt-oss-20b meant?")
    assert "setup" not in ended.stderr


def test_an_answer_is_there_as_it_comes_and_what_is_said_before_it_is_none_of_it(work: Path) -> None:
    answers = said(message("final", "  \n", END), message("final", "First.\n\n", END), final(numbers(2000)))
    file = script(work, [said(preamble("Let me look."), READS), answers], delay=0.003)
    with subprocess.Popen([*COMMAND, "--script", str(file), "run", "Count"], **PIPES, cwd=work) as running:
        assert running.stdout is not None
        assert running.stdout.read(10) == "First.\n\n0 "
        assert running.poll() is None
        running.terminate()
        out, told = running.communicate(timeout=SECONDS)
    assert running.returncode == 130
    assert out.endswith("\n")
    assert told == "Let me look.\n- Read a.txt: completed\ngptoss-acp: Cancelled.\n"


def test_an_answer_of_blanks_is_none(run: Run) -> None:
    ended = run([final("  \n")], "Say nothing")
    assert (ended.returncode, ended.stdout) == (1, "")


def test_what_a_slash_command_answers_is_the_answer(run: Run) -> None:
    ended = run([], "/help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "/compact" in ended.stdout


def test_a_reader_that_has_seen_enough_ends_it(work: Path) -> None:
    file = script(work, [final(numbers(2000))], delay=0.001)
    line = f"{COMMAND[0]} --script {file} run Count | head -c 5"
    ended = subprocess.run(["sh", "-c", line], check=False, **PIPED, cwd=work)
    assert (ended.stdout, ended.stderr) == ("0 1 2", "")


def test_standard_input_without_an_end_is_read_no_further_than_a_bound(work: Path) -> None:
    file = script(work, [final("Ok.")])
    for prompt, code, told in (("Go", 0, "the model is told the first 60,000"), ("", 2, "too long for a prompt")):
        line = f"yes aaaa | {COMMAND[0]} --script {file} run {prompt}"
        ended = subprocess.run(["sh", "-c", line], check=False, **PIPED, cwd=work, timeout=SECONDS)
        assert ended.returncode == code
        assert told in ended.stderr


def test_who_waits_for_standard_input_is_told(work: Path) -> None:
    line = [*COMMAND, "--script", str(script(work, [final("Ok.")])), "run", "Go"]
    with subprocess.Popen(line, **{**PIPES, "stdin": PIPE}, cwd=work) as running:
        assert running.stderr is not None
        assert "waiting for standard input to end" in running.stderr.readline()
        out, _ = running.communicate("more\n", timeout=SECONDS)
    assert (running.returncode, out) == (0, "Ok.\n")


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "2> >(true)"])
def test_an_answer_is_there_although_nobody_hears_what_is_done_for_it(stderr: str, work: Path) -> None:
    file = script(work, [said(preamble("Let me look."), READS), final("Ok.")])
    line = f"{COMMAND[0]} --script {file} run Go {stderr}"
    ended = subprocess.run(["bash", "-c", line], check=False, **PIPED, cwd=work)
    assert (ended.returncode, ended.stdout) == (0, "Ok.\n")


def test_what_was_asked_is_in_the_stored_session(run: Run, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(work.parent / "data"))
    assert run([final("It says hello.")], "What is in a.txt?").returncode == 0

    def printed(*arguments: str) -> str:
        command = [*COMMAND, "sessions", *arguments]
        return subprocess.run(command, cwd=work, capture_output=True, text=True, check=True).stdout

    (line,) = printed().splitlines()
    assert "## User\n\nWhat is in a.txt?" in printed("export", line.split()[0])


def test_an_interrupt_at_the_start_ends_it_quietly(work: Path) -> None:
    file = script(work, [final(numbers(10_000))], delay=1)
    with subprocess.Popen([*COMMAND, "--script", str(file), "run", "Count"], **PIPES, cwd=work) as running:
        time.sleep(1)  # which imports take on a busy machine
        running.send_signal(signal.SIGINT)
        out, told = running.communicate(timeout=SECONDS)
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in told


def test_what_is_no_text_is_told_and_shown_all_the_same(work: Path) -> None:
    trace = work.parent / "trace"
    file = script(work, [final("caf\u00e9")])
    command = [*COMMAND, "--script", str(file), "--trace", str(trace), "run", "--json", os.fsdecode(b"caf\xff")]
    ended = subprocess.run(
        command, cwd=work, input=b"\xff" * 70_000, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["answer"] == "caf\u00e9"
    assert b"of standard input, which has more, the model is told the first 60,000 characters" in ended.stderr


def test_an_unknown_setting_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTOSS_ACP_EFORT", "low")
    ended = run([final("Ok.")], "Go")
    assert (ended.returncode, ended.stdout) == (0, "Ok.\n")
    assert "'GPTOSS_ACP_EFORT' in the environment is no setting (did you mean GPTOSS_ACP_EFFORT?)" in ended.stderr
