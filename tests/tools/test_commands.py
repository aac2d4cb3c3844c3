"""The tool that runs commands, as the model and the user see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.desk import Desk


async def test_a_command_answers_with_its_code_and_output(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    desk = Desk(tmp_path)
    assert await desk.call("shell", command=["echo", "a b"]) == "Exit code: 0\nOutput:\na b\n"
    assert (
        await desk.call("shell", command=["bash", "-c", "echo out; echo err >&2; exit 3"])
        == "Exit code: 3\nOutput:\nout\nerr\n"
    )
    assert desk.last["status"] == "failed"
    assert desk.last["rawOutput"] == {"exitCode": 3, "output": "out\nerr\n"}
    assert await desk.call("shell", command=["pwd"], workdir="sub") == f"Exit code: 0\nOutput:\n{tmp_path / 'sub'}\n"
    assert await desk.call("shell", command=["cat"]) == "Exit code: 0\nOutput:\n"
    assert await desk.call("shell", command="echo $((1+1)) | cat") == "Exit code: 0\nOutput:\n2\n"
    assert await desk.call("shell", command=["sh", "-c", "kill -9 $$"]) == "Exit code: 137\nOutput:\n"
    assert await desk.call("shell", command=["no-such-program"]) == "Error: no-such-program: command not found."
    assert await desk.call("shell", command=["pwd"], workdir="gone") == "Error: no such file or directory: gone."
    assert (await desk.call("shell", command=[])).startswith("Error: invalid arguments: command: ")
    assert (await desk.call("shell", command=["apply_patch", "x"])).startswith("Error: apply_patch is no program")


async def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result = await desk.call("shell", command=["bash", "-c", "echo begun; sleep 60 & wait"], timeout_ms=300)
    assert result == "Error: timed out after 0.3 seconds; the command was stopped. Output so far:\nbegun\n."[:-1]
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
    await desk.call("shell", command=command)
    (asked,) = desk.permissions_asked
    assert asked["toolCall"]["title"] == title
