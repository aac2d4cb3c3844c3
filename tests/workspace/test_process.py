"""Programs on this machine: none is left behind, whatever it does and however we end."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from gptoss_acp.workspace import process
from gptoss_acp.workspace.environment import environment
from tests.support.desk import Desk
from tests.support.places import REPOSITORY
from tests.support.processes import alive, noted, works_in
from tests.support.waiting import settled


async def run(*command: str, cwd: Path = Path("/")) -> tuple[int, str]:
    output: list[str] = []
    code = await process.run(command, cwd, dict(os.environ), output.append)
    return code, "".join(output)


CHILDREN = {
    "in the background": "sleep 60 & echo $! > pid",
    "with another output": "sleep 60 > /dev/null 2>&1 & echo $! > pid",
    "that ignores to be ended": "trap '' TERM; sleep 60 & echo $! > pid",
}


@pytest.mark.parametrize("name", CHILDREN)
async def test_cancelling_leaves_no_child(name: str, tmp_path: Path) -> None:
    running = asyncio.create_task(run("bash", "-c", f"{CHILDREN[name]}; wait", cwd=tmp_path))
    await settled(lambda: noted(tmp_path / "pid"))
    began = time.monotonic()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert time.monotonic() - began < process.GRACE_SECONDS * 2 + 5
    await settled(lambda: not alive(noted(tmp_path / "pid")))


@pytest.mark.parametrize("steps", range(12))
async def test_cancelling_while_it_starts_leaves_no_child(steps: int, tmp_path: Path) -> None:
    running = asyncio.create_task(run("bash", "-c", "sleep 60 & wait", cwd=tmp_path))
    for _ in range(steps):
        time.sleep(0.02)  # noqa: ASYNC251 (the loop is late, the program is not: it starts its child meanwhile)
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    await settled(lambda: not works_in(tmp_path))


@pytest.mark.parametrize("name", CHILDREN)
async def test_a_program_that_ends_leaves_no_child(name: str, tmp_path: Path) -> None:
    async with asyncio.timeout(10):
        assert await run("bash", "-c", CHILDREN[name], cwd=tmp_path) == (0, "")
    await settled(lambda: not alive(noted(tmp_path / "pid")))


async def test_a_gentle_end_lets_the_program_clean_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 60.0)  # however busy the machine is, the program has time for it
    script = "trap 'echo cleaned > log; exit' TERM; echo ready; while :; do sleep 0.01; done"
    output: list[str] = []
    running = asyncio.create_task(process.run(["bash", "-c", script], tmp_path, dict(os.environ), output.append))
    await settled(lambda: output, 60)  # read, and so past its start, in which a cancel is not gentle
    running.cancel()
    await asyncio.wait([running])
    assert (tmp_path / "log").read_text() == "cleaned\n"


async def test_the_lines_of_a_helper_are_whole_and_what_it_complains_of_is_kept_apart() -> None:
    complaints: list[bytes] = []
    script = "echo found; printf ha; sleep 0.1; echo lf; echo denied >&2; printf rest; exit 2"
    batches = [batch async for batch in process.lines(["sh", "-c", script], "/", on_complaints=complaints.extend)]
    assert [line for batch in batches for line in batch] == [b"found", b"half", b"rest"]
    assert complaints == [b"denied"]


async def test_a_child_does_not_outlive_us_even_when_we_are_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, os
from pathlib import Path
from gptoss_acp.workspace import process
from tests.support.places import REPOSITORY
asyncio.run(process.run(["bash", "-c", "echo $$ > pid; sleep 60"], Path({str(tmp_path)!r}), dict(os.environ), print))
"""
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=REPOSITORY)
    await settled(lambda: noted(tmp_path / "pid"), 20)
    child = noted(tmp_path / "pid")
    assert alive(child)
    agent.kill()
    await agent.wait()
    await settled(lambda: not alive(child))


async def test_all_output_arrives_however_fast_the_program_ends() -> None:
    for _ in range(10):
        code, output = await run("seq", "1", "20000")
        assert code == 0
        assert output.endswith("\n20000\n")


async def test_a_character_cut_in_two_is_joined_and_bad_bytes_are_replaced() -> None:
    script = r"printf '\xc3'; sleep 0.1; printf '\xa9 \xff.'"
    assert await run("bash", "-c", script) == (0, "\u00e9 \ufffd.")


async def test_a_flood_of_output_leaves_the_loop_time_for_others() -> None:
    flooding = asyncio.Event()
    running = asyncio.create_task(process.run(["yes"], Path("/"), dict(os.environ), lambda _: flooding.set()))
    await flooding.wait()
    slept = time.monotonic()
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert time.monotonic() - slept < 10  # some ms, but for a busy machine
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_no_descriptor_is_left_open() -> None:
    await run("true")
    before = psutil.Process().num_fds()
    for _ in range(5):
        await run("true")
    await settled(lambda: psutil.Process().num_fds() <= before)


async def test_the_program_finds_no_input_and_none_of_our_descriptors() -> None:
    code, output = await run("bash", "-c", "cat; ls /proc/self/fd 2>/dev/null || ls /dev/fd")
    assert code == 0
    assert len(output.split()) <= 4


async def test_closing_the_lines_of_a_helper_ends_it(tmp_path: Path) -> None:
    lines = process.lines(["bash", "-c", "echo $$; exec sleep 60"], str(tmp_path))
    ((number,),) = [map(int, await anext(lines))]
    assert alive(number)
    await lines.aclose()
    assert not alive(number)


# The environment


async def test_a_command_finds_the_users_environment_less_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTOSS_ACP_MODEL", "x")
    monkeypatch.setenv("TIKTOKEN_ENCODINGS_BASE", "x")
    monkeypatch.setenv("MY_OWN", "y")
    result = await Desk(tmp_path).call("shell", command=["env"])
    assert "MY_OWN=y" in result
    assert "GPTOSS_ACP" not in result
    assert "TIKTOKEN" not in result


async def test_a_command_gets_no_secret_but_those_that_a_setting_names(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = (
        "GITHUB_TOKEN",
        "OPENAI_API_KEY",
        "AWS_ACCESS_KEY_ID",
        "DB_PASSWORD",
        "A_SECRET",
        "SSH_AUTH_SOCK",
        "DBUS_X",
    )
    for name in (*secrets, "PLAIN"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PATH", f"bin:.:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    found = await environment()
    assert not found.keys() & set(secrets)
    assert found["PLAIN"] == "x"
    assert all(folder.startswith("/") for folder in found["PATH"].split(":"))
    assert (found["GIT_CONFIG_COUNT"], found["GIT_CONFIG_KEY_1"]) == ("3", "safe.bareRepository")
    passed = await environment(["GITHUB_TOKEN", "AWS_*"])
    assert passed.keys() & set(secrets) == {"GITHUB_TOKEN", "AWS_ACCESS_KEY_ID"}


async def test_nobody_is_waited_for_in_an_editor_and_bare_repositories_are_none(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    script = "git init -q . && git -c user.name=a -c user.email=a@b commit --allow-empty"
    assert "there is nobody to type in an editor" in await desk.call("shell", command=["sh", "-c", script])
    result = await desk.call("shell", command=["sh", "-c", "git init -q --bare b && cd b && git status"])
    assert "safe.bareRepository" in result or "bare repository" in result


async def test_a_login_shell_keeps_the_path_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/venv:{os.environ['PATH']}")
    result = await Desk(tmp_path).call("shell", command=["bash", "-lc", 'echo "$PATH"'])
    assert result.startswith(f"Exit code: 0\nOutput:\n{tmp_path}/venv:")


async def test_from_a_desktop_the_path_is_that_of_the_login_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = tmp_path / "shell"
    shell.write_text(f"#!/bin/sh\necho noise\nPATH={tmp_path}/tools:$PATH exec $4\n")
    shell.chmod(0o755)
    tool = tmp_path / "tools/my-tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    for name in ("SHLVL", "TERM"):
        monkeypatch.delenv(name, raising=False)
    desk = Desk(tmp_path)
    assert await desk.call("shell", command=["my-tool"]) == "Exit code: 0\nOutput:\nfound\n"
    monkeypatch.setenv("TERM", "xterm")
    assert await desk.call("shell", command=["my-tool"]) == "Error: my-tool: command not found."
