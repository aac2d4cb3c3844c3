"""The sandbox as the system makes it: what a command can't do in there, and what it still can."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.settings import Mode
from gptoss_acp.workspace import bubblewrap, landlock
from gptoss_acp.workspace.sandbox import Sandbox
from tests.support import processes
from tests.support.desk import Desk
from tests.support.mcp_desk import program, ready
from tests.support.waiting import settled

pytestmark = pytest.mark.skipif(bubblewrap.program([]) is None, reason="no bubblewrap that works here")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder outside of `/tmp`, which is another one in the sandbox."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with secrets in it."""
    home = tmp_path / "home"
    for name in (".ssh", ".gnupg", ".aws", ".config/gh", ".local/share/gptoss-acp"):
        (home / name).mkdir(parents=True)
        (home / name / "secret").write_text("SECRET\n")
    (home / ".netrc").write_text("SECRET\n")
    for name in ("DATA", "STATE", "CACHE", "CONFIG"):
        monkeypatch.delenv(f"XDG_{name}_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@b")
    return home


def git(*arguments: str, cwd: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def project(home: Path, tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    git("init", "-q", "-b", "main", cwd=project)
    (project / "a.txt").write_text("x\n")
    (project / ".vscode").mkdir()
    (project / ".vscode/settings.json").write_text("{}\n")
    (project / ".envrc").write_text("export A=1\n")
    git("add", "-A", cwd=project)
    git("commit", "-qm", "first", cwd=project)
    assert home.is_dir()
    return project


@contextlib.asynccontextmanager
async def desk_in(
    project: Path, mode: Mode = "auto-edit", answer: str = "reject_once", capabilities: Capabilities | None = None
) -> AsyncIterator[Desk]:
    desk = Desk(project, mode, answer=answer, capabilities=capabilities)
    desk.workspace.sandbox = Sandbox("auto", desk.workspace.roots.folders)
    try:
        yield desk
    finally:
        await desk.workspace.close()


async def sh(desk: Desk, script: str) -> str:
    return await desk.call("shell", command=["bash", "-c", script])


WRITES = {
    "the home folder": "$HOME/x",
    "beside the project": "../x",
    "git's config": ".git/config",
    "git's hooks": ".git/hooks/pre-commit",
    "git's info": ".git/info/exclude",
    "an editor's settings": ".vscode/settings.json",
    "an editor's tasks": ".vscode/tasks.json",
    "direnv's file": ".envrc",
}


@pytest.mark.parametrize("name", WRITES)
async def test_what_is_protected_or_outside_can_not_be_written(name: str, project: Path) -> None:
    before = git("status", "--porcelain", cwd=project)
    async with desk_in(project) as desk:
        result = await sh(desk, f"echo evil >> {WRITES[name]}")
    assert result.startswith("Exit code: 1")
    assert "Read-only file system" in result
    assert git("status", "--porcelain", cwd=project) == before
    assert "evil" not in (project / ".git/config").read_text()


async def test_commands_run_without_a_question_write_in_the_project_and_in_tmp(project: Path) -> None:
    async with desk_in(project) as desk:
        assert await sh(desk, "echo y >> a.txt; mkdir d; echo kept > /tmp/note; echo more > $TMPDIR/more") == (
            "Exit code: 0\nOutput:\n"
        )
        assert (project / "a.txt").read_text() == "x\ny\n"
        assert not Path("/tmp/note").exists()
        assert await sh(desk, "cat /tmp/note /tmp/more $TMPDIR/note") == "Exit code: 0\nOutput:\nkept\nmore\nkept\n"
        assert await desk.call("read_file", path="/tmp/note") == "L1: kept"
        assert await desk.call("read_file", path=f"{desk.workspace.sandbox.temporary}/note") == "L1: kept"
        assert desk.permissions_asked == []
        temporary = desk.workspace.sandbox.temporary
    assert not temporary.exists()
    assert sorted(path.name for path in project.iterdir()) == [".envrc", ".git", ".vscode", "a.txt", "d"]


async def test_secrets_and_our_own_files_are_not_seen(home: Path, project: Path) -> None:
    async with desk_in(project) as desk:
        result = await sh(
            desk, "cat ~/.netrc ~/.ssh/* ~/.gnupg/* ~/.aws/* ~/.config/gh/* ~/.local/share/gptoss-acp/*; ls -A ~/.ssh"
        )
    assert "SECRET" not in result
    assert (home / ".ssh/secret").read_text() == "SECRET\n"


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept_all, args=[server], daemon=True).start()
        yield server.getsockname()[1]


def _accept_all(server: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed
        while True:
            server.accept()[0].close()


async def test_no_port_and_no_socket_of_the_host_is_reached(listener: int, home: Path, project: Path) -> None:
    with socket.socket(socket.AF_UNIX) as of_the_host:
        of_the_host.bind(str(home / ".agent.sock"))
        of_the_host.listen()
        async with desk_in(project) as desk:
            assert "Exit code: 0" not in await sh(desk, f"echo > /dev/tcp/127.0.0.1/{listener}")
            program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(home / '.agent.sock')!r})"
            result = await desk.call("shell", command=["python3", "-c", program])
    assert "refused" in result or "Errno" in result
    assert "Exit code: 0" not in result


async def test_with_the_network_allowed_once_a_port_is_reached(listener: int, project: Path) -> None:
    async with desk_in(project, "ask", answer="allow_network") as desk:
        assert "Exit code: 0" in await sh(desk, f"echo > /dev/tcp/127.0.0.1/{listener}")
        desk.answer = "allow_once"
        assert "Exit code: 0" not in await sh(desk, f"echo > /dev/tcp/127.0.0.1/{listener}")
        asked = desk.permissions_asked[0]
    assert [option["optionId"] for option in asked["options"]][:2] == ["allow_once", "allow_network"]
    assert "- in a sandbox: writes only in the session's folders and /tmp, no network" in str(
        asked["toolCall"]["content"]
    )


async def test_a_client_that_shows_only_kinds_can_not_mean_the_network_by_a_plain_yes(project: Path) -> None:
    async with desk_in(project, "ask", answer="allow_once", capabilities=Capabilities()) as desk:
        assert "Exit code: 0" in await sh(desk, "true")
        (asked,) = desk.permissions_asked
    kinds = [option["kind"] for option in asked["options"]]
    assert kinds == ["allow_once", "allow_always", "reject_once"]
    assert kinds[::2] == [option["optionId"] for option in asked["options"]][::2]  # avante knows no other ids


async def test_nothing_outlives_a_command(project: Path) -> None:
    async with desk_in(project) as desk:
        await sh(desk, "setsid sh -c 'sleep 2; touch survived' & (sleep 2; touch survived) & true")
        await sh(desk, "sleep 3")
    assert not (project / "survived").exists()


async def test_a_commit_works_also_in_a_linked_worktree_and_a_submodule(project: Path, tmp_path: Path) -> None:
    git("worktree", "add", "-q", str(tmp_path / "linked"), cwd=project)
    git("clone", "-q", str(project), str(tmp_path / "upstream"), cwd=tmp_path)
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tmp_path / "upstream"), "sub", cwd=project)
    git("commit", "-qm", "sub", cwd=project)
    for folder in (project, tmp_path / "linked", project / "sub"):
        async with desk_in(folder) as desk:
            result = await sh(desk, "echo more >> a.txt && git add a.txt && git commit -qm 'by the agent' && git gc -q")
            assert result == "Exit code: 0\nOutput:\n", folder
            assert "Read-only" in await sh(desk, "git config core.fsmonitor ./evil || echo Read-only")
        assert git("log", "-1", "--format=%s", cwd=folder) == "by the agent\n"


APPEARS = {
    "an editor's folder": ("mkdir .zed && echo x > .zed/tasks.json", ".zed"),
    "a bare repository": ("git init -q --bare fixtures/bare.git", "fixtures/bare.git"),
    "a repository": ("mkdir sub && cd sub && git init -q", "sub/.git"),
    "git's commondir": ("echo /elsewhere > .git/commondir", ".git/commondir"),
    "deep down": ("mkdir -p a/b/c && touch a/b/c/.gitattributes", "a/b/c/.gitattributes"),
}


@pytest.mark.parametrize("name", APPEARS)
async def test_what_appears_in_a_protected_place_is_moved_aside_and_told(name: str, project: Path) -> None:
    script, place = APPEARS[name]
    async with desk_in(project) as desk:
        result = await sh(desk, script)
        assert result.startswith("Exit code: 0")
        assert (
            f"(the command put {project / place} there, where others run or obey it; it was moved aside to " in result
        )
        assert not (project / place).exists()
        where = Path(result.rpartition("moved aside to ")[2].strip(" )\n"))
        assert where.exists()
        assert "moved aside" not in await sh(desk, "true")


async def test_git_can_not_be_moved_away_and_a_copy_put_in_its_place(project: Path) -> None:
    async with desk_in(project) as desk:
        result = await sh(
            desk, "mv .git away; cp -r .git copy; rm -f .git/HEAD; mv copy .git; echo evil >> .git/config"
        )
    assert "Device or resource busy" in result
    assert "evil" not in (project / ".git/config").read_text()
    assert sorted(path.name for path in project.iterdir()) == [".envrc", ".git", ".vscode", "a.txt"]


async def test_a_repository_whose_head_was_taken_away_is_still_protected(project: Path) -> None:
    async with desk_in(project) as desk:
        assert await sh(desk, "mv .git/HEAD head") == "Exit code: 0\nOutput:\n"
        assert "Read-only file system" in await sh(desk, "echo evil >> .git/config")
        assert await sh(desk, "mv head .git/HEAD; git log --format=%s") == "Exit code: 0\nOutput:\nfirst\n"


async def test_a_git_file_of_somebody_elses_opens_no_repository(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / ".git").write_text(f"gitdir: {project}/.git\n")
    async with desk_in(other) as desk:
        assert "Read-only file system" in await sh(desk, f"echo x > {project}/.git/x")


async def test_read_only_runs_what_only_reads_once_asked(project: Path) -> None:
    async with desk_in(project, "read-only", answer="allow_once") as desk:
        assert await sh(desk, "cat a.txt") == "Exit code: 0\nOutput:\nx\n"
        assert "Read-only file system" in await sh(desk, "echo y > a.txt")
        assert "Exit code: 0" in await sh(desk, "echo y > /tmp/y")
        assert len(desk.permissions_asked) == 3
        assert "writes only in /tmp, no network" in str(desk.permissions_asked[0])
        assert [option["optionId"] for option in desk.permissions_asked[0]["options"]] == [
            "allow_once",
            "allow_always",
            "reject_once",
        ]


async def test_what_the_sandbox_has_stopped_may_run_outside_once_asked(project: Path, tmp_path: Path) -> None:
    async with desk_in(project, "auto-edit") as desk:
        result = await sh(desk, "echo y > ../outside")
        assert "Read-only file system" in result
        assert "(it ran in a sandbox, which is why it failed: " in result
        assert "the user did not allow it)" in result
        (asked,) = desk.permissions_asked
        assert "- not sandboxed\n- in the sandbox it failed: `" in str(
            asked["toolCall"]["content"][0]["content"]["text"]
        )
        desk.answer = "allow_once"
        assert await sh(desk, "echo y > ../outside") == "Exit code: 0\nOutput:\n"
    assert (tmp_path / "outside").read_text() == "y\n"


async def test_full_access_runs_outside(project: Path, tmp_path: Path) -> None:
    async with desk_in(project, "full-access") as desk:
        assert await sh(desk, "echo y > ../outside") == "Exit code: 0\nOutput:\n"
    assert (tmp_path / "outside").exists()


async def background(desk: Desk, script: str) -> str:
    return await desk.call("shell", command=["bash", "-c", script], background=True)


SERVER = "python3 -u -c 'import http.server as h; h.ThreadingHTTPServer((\"127.0.0.1\", 8123), h.SimpleHTTPRequestHandler).serve_forever()'"
FETCH = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8123/a.txt\").read().decode())'"


async def test_later_commands_reach_a_server_in_the_background_and_nothing_else_does(project: Path) -> None:
    async with desk_in(project) as desk:
        assert "Exit code: 1" in await sh(desk, FETCH)
        started = await background(desk, f"echo ready; {SERVER}")
        assert started.startswith("It runs in the background as number 1")
        assert "All its output goes to /tmp/background-1.log; so far:\nready" in started
        patient = f"for i in $(seq 100); do {FETCH} 2>/dev/null && break; sleep 0.1; done"
        assert await sh(desk, patient) == "Exit code: 0\nOutput:\nx\n\n"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 8123))
        assert "GET /a.txt" in await desk.call("open_file", path="/tmp/background-1.log")
        assert "Read-only file system" in await sh(desk, "echo evil >> .git/config")
        assert "Exit code: 0" in await sh(desk, "pkill -f '[T]hreadingHTTPServer'; sleep 0.5; echo y >> a.txt")
        await settled(lambda: not desk.workspace.background.is_running)
        (program,) = desk.workspace.background.programs
        assert str(program).endswith("has ended with exit code 143")
        assert "Exit code: 1" in await sh(desk, FETCH)
    assert len(desk.permissions_asked) == 1  # whether what the sandbox has stopped may run outside


async def test_what_runs_in_the_background_ends_with_the_session(project: Path) -> None:
    async with desk_in(project) as desk:
        await background(desk, "trap 'touch ended; exit' TERM; setsid sleep 61.25 & while :; do sleep 0.01; done")
        await sh(desk, "setsid sleep 61.5 & sleep 0.1")
        assert not processes.running("sleep 61.5")
        assert processes.running("sleep 61.25")
    assert not processes.running("sleep 61.25")
    assert (project / "ended").exists()


async def test_what_the_background_puts_into_protected_places_is_moved_aside(project: Path) -> None:
    async with desk_in(project) as desk:
        await background(desk, "sleep 2; mkdir .zed; sleep 2; mkdir .github; sleep 60")
        desk.answer = "allow_once"
        assert "Success" in await desk.patch("*** Add File: .husky/pre-push", "+x")
        desk.answer = "reject_once"
        await asyncio.sleep(1)
        assert f"(the command put {project / '.zed'} there" in await sh(desk, "true")
        await settled((project / ".github").exists)
    assert sorted(path.name for path in project.iterdir()) == [".envrc", ".git", ".husky", ".vscode", "a.txt"]


async def test_what_a_program_has_left_that_ended_in_the_background_is_moved_aside(project: Path) -> None:
    async with desk_in(project) as desk:
        await background(desk, "mkdir .zed")
        await settled(lambda: not desk.workspace.background.is_running)
        assert f"(the command put {project / '.zed'} there" in await sh(desk, "true")
        await background(desk, "mkdir .github")
    assert sorted(path.name for path in project.iterdir()) == [".envrc", ".git", ".vscode", "a.txt"]


async def test_what_the_user_has_allowed_to_be_written_is_protected_at_once(project: Path) -> None:
    async with desk_in(project, answer="allow_once") as desk:
        await sh(desk, "true")
        assert "Success" in await desk.patch("*** Add File: .zed/settings.json", "+{}")
        desk.answer = "reject_once"
        assert "Read-only file system" in await sh(desk, "echo evil > .zed/tasks.json")
    assert [path.name for path in (project / ".zed").iterdir()] == ["settings.json"]


async def test_a_command_that_fails_at_once_in_the_background_says_so(project: Path) -> None:
    async with desk_in(project) as desk:
        assert await background(desk, "echo no; exit 3") == "Exit code: 3\nOutput:\nno\n"
        assert "command not found" in await desk.call("shell", command=["no-such-program"], background=True)
        assert await background(desk, "echo again") == "Exit code: 0\nOutput:\nagain\n"


async def test_the_question_says_that_it_is_about_the_background(project: Path) -> None:
    async with desk_in(project, "ask", answer="allow_always") as desk:
        await background(desk, "sleep 60")
        await background(desk, "sleep 60")
        await sh(desk, "sleep 0")
        first, second = desk.permissions_asked
    assert "- in the background, until the session ends" in str(first["toolCall"]["content"])
    assert "in the background" not in str(second)


async def test_what_the_user_puts_into_a_protected_place_between_commands_stays(project: Path) -> None:
    async with desk_in(project, "auto-edit", answer="allow_once") as desk:
        await sh(desk, "true")
        (project / ".github").mkdir()
        assert "Success" in await desk.patch("*** Add File: .zed/settings.json", "+{}")
        desk.answer = "reject_once"
        await asyncio.sleep(0.05)
        assert await sh(desk, "touch made") == "Exit code: 0\nOutput:\n"
        assert "Read-only file system" in await sh(desk, "touch .github/x; echo y > .zed/settings.json")
    assert (project / ".github").exists()
    assert (project / ".zed/settings.json").read_text() == "{}\n"


async def test_a_cancelled_command_is_tidied_up_after(project: Path) -> None:
    async with desk_in(project) as desk:
        running = asyncio.create_task(sh(desk, "mkdir .zed; touch ready; sleep 60"))
        await settled((project / "ready").exists)
        running.cancel()
        await asyncio.wait([running])
    assert not (project / ".zed").exists()


async def test_a_program_in_the_project_is_not_taken_for_the_sandbox(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "bin").mkdir()
    shutil.copy("/bin/true", project / "bin/bwrap")
    monkeypatch.setenv("PATH", f"{project}/bin:bin:{os.environ['PATH']}")
    found = bubblewrap.program([project])
    assert found is not None
    assert not found.startswith(str(project))


async def test_a_required_sandbox_that_is_not_there_refuses_commands(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(project))
    desk = Desk(project, "full-access")
    desk.workspace.sandbox = Sandbox("require", desk.workspace.roots.folders)
    assert "a sandbox is required (--sandbox require), and there is " in await sh(desk, "true")


async def test_cancelling_lets_a_program_in_the_sandbox_clean_up(project: Path) -> None:
    async with desk_in(project) as desk:
        result = await desk.call(
            "shell",
            command=["bash", "-c", "trap 'echo cleaned > log; exit' TERM; while :; do sleep 0.01; done"],
            timeout=1,
        )
    assert "timed out after 1 seconds" in result
    assert (project / "log").read_text() == "cleaned\n"


async def test_an_editors_terminal_gets_words_that_can_be_joined_and_the_sandbox(project: Path, tmp_path: Path) -> None:
    ran: list[str] = []

    def create(params: Any) -> Any:
        line = " ".join([params["command"], *params["args"]])  # as some terminals do, without quotes
        variables = {variable["name"]: variable["value"] for variable in params["env"]}
        finished = subprocess.run(
            ["sh", "-c", line],
            cwd=params["cwd"],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        ran.append(finished.stdout + finished.stderr)
        return {"terminalId": "t"}

    async with desk_in(project, "auto-edit", capabilities=Capabilities(terminal=True)) as desk:
        desk.peer.answers |= {
            "terminal/create": create,
            "terminal/wait_for_exit": lambda _: {"exitCode": 0},
            "terminal/output": lambda _: {"output": ran[-1], "truncated": False},
            "terminal/release": lambda _: None,
        }
        await desk.call("shell", command=["echo", f"hello; touch {project}/joined; $(touch {project}/evaluated)"])
        await desk.call("shell", command=["sh", "-c", "touch inside; touch ../outside"])
    assert ran[0] == f"hello; touch {project}/joined; $(touch {project}/evaluated)\n"
    assert not (project / "joined").exists()
    assert not (project / "evaluated").exists()
    assert (project / "inside").exists()
    assert not (tmp_path / "outside").exists()


async def test_mcp_servers_run_in_the_sandbox_if_they_are_to(project: Path, listener: int) -> None:
    sandbox = Sandbox("auto", [project], "on")
    async with ready(project, program(project), sandbox=sandbox) as desk:
        assert "Read-only file system" in await desk.call("test__write", path=f"{project.parent}/outside")
        assert "Read-only file system" in await desk.call("test__write", path=f"{project}/.git/hooks/pre-commit")
        assert await desk.call("test__write", path=f"{project}/inside") == "written"
        assert "moved aside" in await desk.call("test__write", path=f"{project}/.mcp.json")
        assert not (project / ".mcp.json").exists()
        words = await sandbox.server_words(project)
        assert "--unshare-net" in words
        assert "--unshare-net" not in await Sandbox("auto", [project], "network").server_words(project)


async def test_what_a_server_puts_into_a_protected_place_between_calls_is_moved_aside(project: Path) -> None:
    async with desk_in(project) as desk:
        desk.workspace.sandbox = Sandbox("auto", desk.workspace.roots.folders, "on")
        words = await desk.workspace.sandbox.server_words(project)
        assert await sh(desk, "true") == "Exit code: 0\nOutput:\n"
        await asyncio.to_thread(subprocess.run, [*words, "mkdir", ".zed"], check=True)
        await asyncio.sleep(0.05)
        assert f"(the command put {project / '.zed'} there" in await sh(desk, "true")
        await asyncio.to_thread(subprocess.run, [*words, "mkdir", ".github"], check=True)
    assert sorted(path.name for path in project.iterdir()) == [".envrc", ".git", ".vscode", "a.txt"]


async def test_sandboxes_asked_for_at_once_are_one(project: Path) -> None:
    sandbox = Sandbox("auto", [project], "on")
    words = await asyncio.gather(*(sandbox.server_words(project) for _ in range(3)))
    assert words[0] == words[1] == words[2]


async def test_an_mcp_server_that_is_to_be_sandboxed_and_can_not_be_is_not_started(project: Path) -> None:
    async with ready(project, program(project), sandbox=Sandbox("off", [project], "on")) as desk:
        (problem,) = desk.servers.take_problems()
        assert "it is to run in a sandbox (--sandbox-servers), and there is none: it is switched off" in problem
        assert not (project / "pid").exists()


@pytest.mark.skipif(not landlock.works(), reason="no Landlock, or too old a one")
async def test_where_there_is_only_landlock_commands_are_asked_about_and_partly_confined(
    project: Path, tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(without(tmp_path, "bwrap")))
    async with desk_in(project, "auto-edit", answer="allow_once") as desk:
        assert "Exit code: 0" in await sh(
            desk, f"echo y > a.txt; echo t > $TMPDIR/t; ! echo > /dev/tcp/127.0.0.1/{listener}"
        )
        assert await desk.call("read_file", path=f"{desk.workspace.sandbox.temporary}/t") == "L1: t"
        (asked,) = desk.permissions_asked
        assert "in a partial sandbox (Landlock): writes only in the session's folders and $TMPDIR, no TCP" in str(asked)
        assert [option["optionId"] for option in asked["options"]][1] == "allow_network"
        desk.answer = "reject_once"
        assert "the user did not allow it" in await sh(desk, "echo y > ../outside")
        desk.permissions.mode = "read-only"
        assert "the mode is read-only" in await sh(desk, "true")
    assert desk.workspace.sandbox.kind == "partial"
    assert not (tmp_path / "outside").exists()


def without(folder: Path, program: str) -> Path:
    """Return a folder with all of the system's programs but one."""
    programs = folder / "programs"
    programs.mkdir()
    for path in Path("/usr/bin").iterdir():
        if path.name != program:
            (programs / path.name).symlink_to(path)
    return programs


async def test_what_supervises_is_no_way_out_for_what_it_joins(project: Path) -> None:
    async with desk_in(project) as desk:
        await background(desk, "sleep 60")
        await sh(desk, "true")
        script = "for exe in /proc/[0-9]*/exe; do readlink $exe; done | grep python; exit 0"
        assert await sh(desk, script) == "Exit code: 0\nOutput:\n"


async def test_a_log_whose_names_the_command_has_taken_ends_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_acp.workspace.background.LARGEST_LOG", 1_000)
    async with desk_in(project) as desk:
        (project / "victim").write_text("mine\n")
        await background(
            desk,
            f"mkdir /tmp/background-1.log.1; ln -s {project}/victim /tmp/background-3.log; "
            f"for i in $(seq 3000); do echo $i; done; rm -r /tmp/background-1.log.1; echo again; exec sleep 60",
        )
        first, *_ = desk.workspace.background.programs
        await settled(lambda: "again" in first.log.read_text(), 20)
        assert "It runs in the background as number 2" in await background(desk, "sleep 60")
        assert "its output can't be kept in background-3.log: File exists" in await background(desk, "echo x")
        assert [str(program).rpartition(", ")[2] for program in desk.workspace.background.programs] == [
            "running for 0 min",
            "running for 0 min",
        ]
    assert (project / "victim").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("script", "left"),
    [
        ("git init -q --bare .", {"a.txt", "config", "hooks", "info", "description", "branches", "objects", "refs"}),
        ("mkdir objects refs; touch HEAD", {"a.txt", "objects", "refs"}),
        ("mkdir -p refs; touch HEAD commondir", {"a.txt", "refs", "commondir"}),
    ],
)
@pytest.mark.parametrize("folder", [".", "lib"])
async def test_only_what_makes_a_folder_a_repository_is_moved_aside(
    script: str, left: set[str], folder: str, project: Path
) -> None:
    (project / folder).mkdir(exist_ok=True)
    (project / folder / "a.txt").write_text("mine\n")
    before = {path.name for path in (project / folder).iterdir()}
    async with desk_in(project) as desk:
        told = await sh(desk, f"cd {folder}; {script}")
        assert f"(the command put {(project / folder / 'HEAD')} there" in told
        assert await sh(desk, "cat a.txt") == f"Exit code: 0\nOutput:\n{'mine' if folder == '.' else 'x'}\n"
    after = {path.name for path in (project / folder).iterdir()}
    assert "HEAD" not in after
    assert before <= after <= before | left


async def test_what_git_and_editors_are_led_to_is_protected_too(project: Path) -> None:
    for name in (".githooks", "gh", "cfg"):
        (project / name).mkdir()
        (project / name / "x").write_text("x\n")
    (project / "envrc").write_text("x\n")
    shutil.rmtree(project / ".vscode")
    (project / ".envrc").unlink()
    shutil.rmtree(project / ".git/info")
    for link, target in ((".vscode", "cfg"), (".envrc", "envrc"), (".git/info", "../gh")):
        (project / link).symlink_to(target)
    git("config", "core.hooksPath", ".githooks", cwd=project)
    (project / "rel").mkdir()
    (project / "rel/x").write_text("x\n")
    (project / ".agents/skills").mkdir(parents=True)
    (project / ".agents/skills/rel").symlink_to("../../rel")
    async with desk_in(project) as desk:
        for file in (".githooks/x", "gh/x", "cfg/x", "envrc", "rel/x"):
            assert "Read-only file system" in await sh(desk, f"echo y >> {file}")
        assert "did not allow" in await desk.patch("*** Update File: cfg/x", "@@", "-x", "+y")
        assert "Exit code: 0" in await sh(desk, "echo y > a.txt; git add a.txt && git commit -qm second --no-verify")


async def test_our_own_folders_and_keys_that_come_later_are_not_seen(home: Path, project: Path) -> None:
    async with desk_in(project) as desk:
        await sh(desk, "true")
        (home / ".local/state/gptoss-acp/removed").mkdir(parents=True, exist_ok=True)
        (home / ".local/state/gptoss-acp/removed/x").write_text("SECRET\n")
        (home / ".kube").mkdir()
        (home / ".kube/config").write_text("SECRET\n")
        assert "SECRET" not in await sh(desk, "cat ~/.local/state/gptoss-acp/removed/x ~/.kube/config")


async def test_an_empty_folder_that_becomes_a_repository_stays(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    async with desk_in(tmp_path / "empty") as desk:
        assert "moved aside" in await sh(desk, "git init -q --bare .")
        assert await sh(desk, "ls HEAD") != "Exit code: 0\nOutput:\nHEAD\n"
    assert home.is_dir()
    assert (tmp_path / "empty/config").exists()
