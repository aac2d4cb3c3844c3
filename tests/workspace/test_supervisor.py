"""What a command starts ends with it where no sandbox sees to that; and Landlock, the sandbox of part."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gptoss_acp.workspace import landlock, process, supervisor
from tests.support.desk import Desk
from tests.support.places import REPOSITORY
from tests.support.processes import alive, noted
from tests.support.waiting import settled, wait_until

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what has lost its parent is not found")

ESCAPES = {
    "in a session of its own": "setsid sh -c 'echo $$ > pid; exec sleep 300'",
    "by two forks": "python3 -c 'import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
    '  open("pid", "w").write(str(os.getpid())); time.sleep(300)\'',
    "and ignores to be ended": "setsid sh -c 'trap \"\" TERM; echo $$ > pid; while :; do sleep 0.1; done'",
}


@on_linux
@pytest.mark.parametrize("name", ESCAPES)
async def test_what_has_left_the_group_ends_with_the_command(name: str, tmp_path: Path) -> None:
    result = await Desk(tmp_path).call(
        "shell", command=["bash", "-c", f"({ESCAPES[name]}) >/dev/null 2>&1 & while ! [ -s pid ]; do sleep 0.01; done"]
    )
    assert result == "Exit code: 0\nOutput:\n"
    assert not alive(noted(tmp_path / "pid"))


@on_linux
@pytest.mark.parametrize("name", ESCAPES)
async def test_what_has_left_the_group_ends_with_a_cancel(name: str, tmp_path: Path) -> None:
    running = asyncio.create_task(
        Desk(tmp_path).call("shell", command=["bash", "-c", f"({ESCAPES[name]}) & sleep 300"])
    )
    await settled(lambda: noted(tmp_path / "pid"), 20)
    running.cancel()
    await asyncio.wait([running])
    await settled(lambda: not alive(noted(tmp_path / "pid")))


@on_linux
async def test_what_has_left_the_group_ends_when_we_are_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, os
from pathlib import Path
from gptoss_acp.workspace import process, supervisor
cwd = Path({str(tmp_path)!r})
command = ["bash", "-c", "setsid sh -c 'echo $$ > pid; exec sleep 300' & sleep 300"]
asyncio.run(process.run(command, cwd, dict(os.environ), print, within=supervisor.words(str(cwd))))
"""
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=REPOSITORY)
    await settled(lambda: noted(tmp_path / "pid"), 20)
    child = noted(tmp_path / "pid")
    agent.kill()
    await agent.wait()
    await settled(lambda: not alive(child))


async def run(cwd: Path, *command: str, within: list[str] | None = None) -> tuple[int, str]:
    output: list[str] = []
    words = supervisor.words(str(cwd)) if within is None else within
    code = await process.run(command, cwd, dict(os.environ), output.append, within=words)
    return code, "".join(output)


CODES = {"exit 3": 3, "kill -9 $$": 137, "kill $$": 143, "yes | head -1; exit ${PIPESTATUS[0]}": 141}


@pytest.mark.parametrize("script", CODES)
async def test_the_exit_code_is_the_commands_own(script: str, tmp_path: Path) -> None:
    code, _ = await run(tmp_path, "bash", "-c", script)
    assert code == CODES[script]


async def test_a_script_without_an_interpreter_is_the_shells(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo $1\n")
    (tmp_path / "script").chmod(0o755)
    assert await run(tmp_path, "./script", "ran") == (0, "ran\n")


async def test_what_a_command_leaves_is_asked_to_end_before_it_is_made_to(tmp_path: Path) -> None:
    script = "(trap 'echo cleaned > log; exit' TERM; touch ready; while :; do sleep 0.01; done) & until [ -e ready ]; do :; done"
    code, _ = await run(tmp_path, "bash", "-c", script)
    assert code == 0
    assert (tmp_path / "log").read_text() == "cleaned\n"


@on_linux
@pytest.mark.parametrize("held", ["1:1", "{own}:{mounts}", "{own}:1", "4194300:1"])
async def test_what_is_not_where_it_was_is_not_joined(held: str, tmp_path: Path) -> None:
    mounts = Path("/proc/self/ns/mnt").stat().st_ino
    words = supervisor.words(str(tmp_path), join=held.format(own=os.getpid(), mounts=mounts))
    code, output = await run(tmp_path, "touch", "ran", within=words)
    assert code == 126
    assert output.startswith("what runs in the background can't be reached")
    assert not (tmp_path / "ran").exists()


async def test_another_folder_than_that_of_the_question_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    words = supervisor.words(str(tmp_path / "link"))
    code, output = await run(tmp_path, "touch", "ran", within=words)
    assert code == 126
    assert output == f"{tmp_path}/link is not where it was when it was asked about\n"
    assert not (tmp_path / "a/ran").exists()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_in_a_terminal_it_ends_all_when_it_is_told_to(end: signal.Signals, tmp_path: Path) -> None:
    script = "setsid sh -c 'echo $$ > pid; exec sleep 300' & sleep 300"
    words = [*supervisor.words(str(tmp_path)), "bash", "-c", script]
    with subprocess.Popen(words, cwd=tmp_path, start_new_session=True) as terminal:
        wait_until(lambda: noted(tmp_path / "pid"), 20)
        os.killpg(terminal.pid, end)
        terminal.wait(10)
    if sys.platform == "linux":
        assert not alive(noted(tmp_path / "pid"))


with_landlock = pytest.mark.skipif(not landlock.works(), reason="no Landlock, or too old a one")


@with_landlock
async def test_landlock_lets_write_only_where_it_may(tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").write_text("x\n")
    within = supervisor.words(str(tmp_path / "in"), writable=[str(tmp_path / "in")], network=False)
    script = "echo y > a && mv a deep/b && ln -s b deep/c && rm deep/c && mkdir d && rmdir d && cat ../out/file >&1"
    assert await run(tmp_path / "in", "sh", "-c", script, within=within) == (0, "x\n")
    for attempt in ("echo y > ../out/file", "touch ../out/new", "rm ../out/file", "mv ../out/file .", "mkdir ../d"):
        code, output = await run(tmp_path / "in", "sh", "-c", attempt, within=within)
        assert code, attempt
        assert "ermission denied" in output, attempt
    assert (tmp_path / "out/file").read_text() == "x\n"


@with_landlock
async def test_landlock_keeps_from_tcp(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        attempt = ("python3", "-c", f"import socket; socket.create_connection({server.getsockname()!r})")
        for network in (False, True):
            within = supervisor.words(str(tmp_path), writable=[], network=network)
            code, output = await run(tmp_path, *attempt, within=within)
            assert (code == 0) == network, output
            assert ("Permission denied" in output) != network
