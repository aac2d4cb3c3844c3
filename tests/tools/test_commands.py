"""The tools that run commands and code, as the model and the user see them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gptoss_acp.tools import commands
from tests.support.desk import Desk
from tests.support.project import write


async def test_a_command_answers_with_its_code_and_output(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    desk = Desk(tmp_path)
    assert await desk.call("exec", command=["echo", "a b"]) == "Exit code: 0\nOutput:\na b\n"
    assert (
        await desk.call("exec", command=["bash", "-c", "echo out; echo err >&2; exit 3"])
        == "Exit code: 3\nOutput:\nout\nerr\n"
    )
    assert desk.last["status"] == "failed"
    assert desk.last["rawOutput"] == {"exitCode": 3, "output": "out\nerr\n"}
    assert await desk.call("exec", command=["pwd"], workdir="sub") == f"Exit code: 0\nOutput:\n{tmp_path / 'sub'}\n"
    assert await desk.call("exec", command=["cat"]) == "Exit code: 0\nOutput:\n"
    assert await desk.call("exec", command="echo $((1+1)) | cat") == "Exit code: 0\nOutput:\n2\n"
    assert await desk.call("exec", command=["sh", "-c", "kill -9 $$"]) == (
        "Exit code: 137 (killed by SIGKILL)\nOutput:\n"
    )
    assert await desk.call("exec", command=["sh", "-c", "exit 255"]) == "Exit code: 255\nOutput:\n"
    assert await desk.call("exec", command=["no-such-program"]) == "Error: no-such-program: command not found."
    assert await desk.call("exec", command=["pwd"], workdir="gone") == "Error: no such file or directory: gone."
    assert (await desk.call("exec", command=[])).startswith("Error: invalid arguments: command: ")
    assert (await desk.call("exec", command=["apply_patch", "x"])).startswith("Error: apply_patch is no program")


async def test_why_a_command_can_not_be_started_is_said(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    desk = Desk(tmp_path)
    assert "./script: it is not executable; run it" in await desk.call("exec", command=["./script"])
    assert "./: it is a folder" in await desk.call("exec", command=["./"])
    assert "./gone: command not found" in await desk.call("exec", command=["./gone"])
    assert "holds a null character" in await desk.call("exec", command=["echo", "a\0b"])


async def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result = await desk.call("exec", command=["bash", "-c", "echo begun; sleep 60 & wait"], timeout=1)
    assert result == "Error: timed out after 1 seconds; the command was stopped. Output so far:\nbegun\n."[:-1]
    assert desk.last["status"] == "failed"


@pytest.mark.parametrize(
    ("command", "title"),
    [
        (["bash", "-lc", "ls | wc"], "ls | wc"),
        (["gcc", "-c", "foo.c"], "gcc -c foo.c"),
        (["./sh", "-c", "ls -la"], "./sh -c 'ls -la'"),
        (["find", "-exec", "x"], "find -exec x"),
    ],
)
async def test_the_question_names_what_will_run(command: list[str], title: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    await desk.call("exec", command=command)
    (asked,) = desk.permissions_asked
    assert asked["toolCall"]["title"] == title


@pytest.mark.parametrize(("timeout", "seconds"), [(1, 1), (999, 999), (1_000, 1), (1_500, 1.5), (10**9, 3600)])
def test_a_timeout_under_a_thousand_is_meant_in_seconds(timeout: int, seconds: float) -> None:
    assert commands.Exec(command=["true"], timeout=timeout).seconds == seconds


async def test_python_code_runs_as_a_program_of_its_own(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask", answer="allow_once")
    code = 'x = "a"\nprint(x * 3)'
    assert await desk.call("python", code) == "Exit code: 0\nOutput:\naaa\n"
    assert (await desk.call("python", "print(x)")).startswith("Exit code: 1\nOutput:\nTraceback")
    asked = desk.permissions_asked[0]["toolCall"]
    assert asked["kind"] == "execute"
    assert (
        asked["content"][0]["content"]["text"] == f"```python\n{code}\n```\n- in the working directory\n- not sandboxed"
    )


async def test_python_code_runs_with_the_project_s_own_python(tmp_path: Path) -> None:
    own = write(tmp_path / ".venv/bin/python3", "#!/bin/sh\necho own: $2\n")
    own.chmod(0o755)
    assert await Desk(tmp_path).call("python", "1") == "Exit code: 0\nOutput:\nown: 1\n"


SECOND = "Error: timed out after 1 seconds; the command was stopped."
SEEMS_TO_WAIT = "It seems to have waited for input, and nobody types"


@pytest.mark.parametrize(
    "question", ["Go on? [y/N] ", "Project name: ", "root@x password: ", "Continue (yes/no): ", "Go on? (y) "]
)
async def test_a_command_that_waits_for_input_is_told_from_a_slow_one(question: str, tmp_path: Path) -> None:
    result = await Desk(tmp_path).call("exec", command=["sh", "-c", f"printf '{question}'; sleep 60"], timeout=1)
    assert result.startswith(f"{SECOND} {SEEMS_TO_WAIT}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a program waits for")
async def test_a_command_that_waits_at_a_terminal_of_its_own_is_told_from_a_slow_one(tmp_path: Path) -> None:
    asking = "import pty; pty.spawn(['sh', '-c', 'read answer'])"
    result = await Desk(tmp_path).call("exec", command=["python3", "-c", asking], timeout=1)
    assert result.startswith(f"{SECOND} {SEEMS_TO_WAIT}")
    assert "(it was waiting for somebody to type something)" in result


@pytest.mark.parametrize(
    "script",
    [
        "echo 'Really?'",
        "printf 'compiling ... (3/10)'",
        "sleep 60 | cat",
        "printf 'Building [====>'",
        "printf 'Compiling a.c:'",
    ],
)
async def test_a_slow_command_is_not_taken_for_one_that_waits(script: str, tmp_path: Path) -> None:
    result = await Desk(tmp_path).call("exec", command=["sh", "-c", f"{script}; sleep 60"], timeout=1)
    assert result.startswith(SECOND)
    assert SEEMS_TO_WAIT not in result
