"""`gptoss-acp doctor` as a person or a program runs it: the real program, in a home of the test's own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp import system
from gptoss_acp.cli import doctor, main
from gptoss_acp.cli.checks.finding import Finding, readable
from gptoss_acp.engine import memory
from gptoss_acp.settings import Settings
from tests.support.agent_process import COMMAND
from tests.support.ranks import LOOPBACK, write_hosts

MODULE = [sys.executable, "-P", "-c"]
OURS = "gptoss-acp"
CHECKED = [
    *("gptoss-acp", "Python", "system", "MLX", "memory", "model", "sandbox", "editor"),
    *("skills", "git", "ripgrep"),
    *("data", "state", "cache", "settings", "disk", "log", "config", "variables"),
]
SECONDS = 60


class Machine:
    """A home with nothing in it, and the environment of a program that runs there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folders = {kind: home / kind / OURS for kind in ("data", "state", "cache")}
        self.log = self.folders["state"] / "gptoss-acp.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GPTOSS_ACP_", "HF_"))}
        places = {f"XDG_{kind.upper()}_HOME": str(home / kind) for kind in (*self.folders, "config")}
        self.environment = {**kept, **places, "HOME": str(home), "HF_HOME": str(home / "hf"), "COLUMNS": "80"}

    def run(self, *arguments: str, command: Any = COMMAND) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    def findings(self, *arguments: str, command: Any = COMMAND) -> dict[str, dict[str, str]]:
        """Return what is found, by name; the exit code and stderr must go with it."""
        done = self.run(*arguments, "doctor", "--json", command=command)
        said = json.loads(done.stdout)
        assert done.stderr == ""
        assert done.stdout.count("\n") == 1
        assert done.returncode == (0 if said["ok"] else 1)
        assert said["ok"] is all(check["state"] != "fix" for check in said["checks"])
        for check in said["checks"]:
            assert check.keys() == {"name", "state", "found", "advice"}
            assert bool(check["advice"]) == (check["state"] != "ok")
        return {check["name"]: check for check in said["checks"]}

    def write_log(self, text: str, mode: int = 0o600) -> None:
        self.folders["state"].mkdir(mode=0o700, parents=True)
        self.log.write_text(text)
        self.log.chmod(mode)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def in_terminal(machine: Machine, columns: int) -> str:
    """Return what the program shows on a terminal so wide."""
    ours, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**machine.environment, "TERM": "xterm-256color"}
    del environment["COLUMNS"]
    running = subprocess.Popen([*COMMAND, "doctor"], env=environment, stdin=inside, stdout=inside, stderr=inside)
    os.close(inside)
    shown = bytearray()
    reading = threading.Thread(target=read_all, args=(ours, shown))
    reading.start()
    running.wait(SECONDS)
    reading.join(SECONDS)
    os.close(ours)
    return shown.decode()


def read_all(terminal: int, shown: bytearray) -> None:
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:  # so Linux says that nobody is at the other end any more
        return


def test_with_the_bundled_model_nothing_is_to_be_fixed(machine: Machine) -> None:
    findings = machine.findings("--model", "tiny")
    assert list(findings) == CHECKED
    # The sandbox and git are this machine's own.
    assert {name for name, finding in findings.items() if finding["state"] != "ok"} <= {"sandbox", "git"}
    assert machine.run("--model", "tiny", "doctor").returncode == 0


def test_it_leaves_nothing_behind(machine: Machine) -> None:
    machine.findings()
    assert list(machine.home.iterdir()) == []


def test_a_model_that_is_not_here_is_to_be_set_up(machine: Machine) -> None:
    model = machine.findings()["model"]
    assert model["state"] == "fix"
    assert "openai/gpt-oss-20b is not on this machine" in model["found"]
    assert model["advice"] == "gptoss-acp setup downloads it."
    other = machine.findings("--model", "someone/else")
    assert other["model"]["advice"] == "gptoss-acp --model someone/else setup downloads it."
    assert other["memory"]["state"] == "ok"


def test_a_folder_with_a_whole_checkpoint_is_named_with_its_size(checkpoint: Path, machine: Machine) -> None:
    findings = machine.findings("--model", str(checkpoint))
    size = readable(sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))).replace("\u00a0", " ")
    assert findings["model"]["state"] == "ok"
    assert findings["model"]["found"].endswith(f"{size} in {checkpoint}")
    assert "contexts of 131,072 tokens" in findings["memory"]["found"]


def test_a_checkpoint_that_is_cut_is_to_be_fixed(checkpoint: Path, machine: Machine) -> None:
    folder = machine.home / "my models" / "cut"
    shutil.copytree(checkpoint, folder)
    weights = next(folder.glob("*.safetensors"))
    os.truncate(weights, weights.stat().st_size - 1)
    model = machine.findings("--model", str(folder))["model"]
    assert model["state"] == "fix"
    assert f"{folder} holds no whole model: {weights.name} is damaged" in model["found"]


@pytest.mark.parametrize(
    ("option", "least"), [("--context-length=2000", 2000), ("--memory-gb=0.05", 1000)], ids=["length", "memory"]
)
def test_a_setting_that_makes_contexts_short_is_named(
    option: str, least: int, checkpoint: Path, machine: Machine
) -> None:
    found = machine.findings("--model", str(checkpoint), option)["memory"]
    assert found["state"] == "look"
    assert int(found["found"].split()[-2].replace(",", "")) >= least
    assert f"{option.partition('=')[0]} is what shortens them." in found["advice"]


def test_a_model_for_which_there_is_no_room_is_to_be_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "usable", lambda: 2**34 * 2 // 3)
    monkeypatch.setattr(memory, "total", lambda: 2**34)
    monkeypatch.setattr(memory, "on_processor", lambda: False)
    monkeypatch.setattr(memory, "on_metal", lambda: True)
    (found,) = doctor.CHECKS["memory"](Settings(model="mlx-community/gpt-oss-20b-MXFP4-Q8"))
    assert found.state == "fix"
    assert found.found.endswith("no room for mlx-community/gpt-oss-20b-MXFP4-Q8")
    assert "`sudo sysctl iogpu.wired_limit_mb=14000`" in found.advice


def test_of_several_machines_each_has_room_for_its_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "usable", lambda: 48 * 10**9)
    monkeypatch.setattr(memory, "on_processor", lambda: False)
    hosts = write_hosts(tmp_path, LOOPBACK, LOOPBACK)
    (alone,) = doctor.CHECKS["memory"](Settings(model="openai/gpt-oss-120b"))
    (together,) = doctor.CHECKS["memory"](Settings(model="openai/gpt-oss-120b", hosts=hosts))
    assert (alone.state, together.state) == ("fix", "ok")
    assert together.found.endswith("for its part of 2: contexts of 131,072 tokens")


def test_a_folder_that_others_can_read_is_named_with_what_closes_it(machine: Machine) -> None:
    folder = machine.folders["data"]
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    found = machine.findings("--model", "tiny")["data"]
    assert (found["state"], found["advice"]) == ("look", f"chmod 700 {folder} keeps it for you alone.")
    folder.chmod(0o700)
    assert machine.findings("--model", "tiny")["data"]["state"] == "ok"


def test_what_stands_where_a_folder_should_is_to_be_fixed(machine: Machine) -> None:
    (machine.home / "cache").write_text("")
    found = machine.findings("--model", "tiny")["cache"]
    assert found["state"] == "fix"
    assert f"{machine.home / 'cache'} is no folder" in found["found"]


def test_a_folder_that_can_not_be_written_is_to_be_fixed(machine: Machine) -> None:
    folder = machine.folders["state"]
    folder.mkdir(mode=0o500, parents=True)
    if os.access(folder, os.W_OK):
        pytest.skip("root may write everywhere")
    found = machine.findings("--model", "tiny")["state"]
    assert (found["state"], found["found"].split()[-3:]) == ("fix", ["can't", "be", "written"])


def test_a_disk_that_is_nearly_full_is_to_be_fixed(small_disk: Path, machine: Machine) -> None:
    machine.environment["XDG_STATE_HOME"] = str(small_disk)
    done = json.loads(machine.run("--model", "tiny", "doctor", "--json").stdout)
    disks = {
        check["found"].rpartition(" for ")[2]: check["state"] for check in done["checks"] if check["name"] == "disk"
    }
    assert disks == {"data, cache, settings": "ok", "state": "fix"}


def test_the_last_problem_in_the_log_is_shown_without_what_a_terminal_would_obey(machine: Machine) -> None:
    machine.write_log(
        "2026-01-01 10:00:00,123 7 ERROR gptoss_acp.turn: the first\n"
        "2026-01-02 10:00:00,123 7 WARNING gptoss_acp.turn: the \x1b[2Jlast " + "x" * 1000 + "\n"
        "Traceback: 2026-01-03 10:00:00,123 7 ERROR no line of the log's own\n"
        "2026-01-02 10:00:01,123 7 INFO gptoss_acp.server: ERROR is not its level\n"
    )
    found = machine.findings("--model", "tiny")["log"]
    assert found["state"] == "look"
    assert r"2026-01-02 10:00:00 WARNING gptoss_acp.turn: the \u{1B}[2Jlast xxx" in found["found"]
    assert found["found"].endswith("x…")
    assert len(found["found"]) < 600
    assert "\x1b" not in machine.run("--model", "tiny", "doctor").stdout


def test_of_a_long_log_only_the_end_is_read(machine: Machine) -> None:
    quiet = "2026-01-02 10:00:01,123 7 INFO gptoss_acp.server: fine\n"
    machine.write_log("2026-01-01 10:00:00,123 7 ERROR gptoss_acp.turn: long ago\n" + quiet * 10_000)
    assert machine.findings("--model", "tiny")["log"]["state"] == "ok"


def test_a_log_that_others_can_read_is_named(machine: Machine) -> None:
    machine.write_log("", mode=0o644)
    assert machine.findings("--model", "tiny")["log"]["advice"] == f"chmod 600 {machine.log} keeps it for you alone."


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("GPTOSS_ACP_MODLE", "Is GPTOSS_ACP_MODE or GPTOSS_ACP_MODEL meant?"),
        ("GPTOSS_ACP_TEMPRATURE", "Is GPTOSS_ACP_TEMPERATURE meant?"),
        ("gptoss_acp_seed", "Is GPTOSS_ACP_SEED meant?"),
        ("GPTOSS_ACP_QQQ", "gptoss-acp config lists the settings."),
    ],
)
def test_a_variable_that_is_no_setting_is_named_with_the_nearest(name: str, advice: str, machine: Machine) -> None:
    machine.environment |= {name: "1", "GPTOSS_ACP_MODEL": "tiny"}
    found = machine.findings()["variables"]
    assert found["state"] == "look"
    assert found["found"] == f"{name} in the environment is no setting"
    assert advice in found["advice"]


def test_a_name_that_is_no_text_is_shown_all_the_same(machine: Machine) -> None:
    name = os.fsdecode(b"GPTOSS_ACP_\xff\n")
    machine.environment |= {name: "1"}
    assert (
        machine.findings("--model", "tiny")["variables"]["found"]
        == r"GPTOSS_ACP_\u{DCFF}\u{A} in the environment is no setting"
    )
    assert (
        r"GPTOSS_ACP_\u{DCFF}\u{A} in the environment is no setting" in machine.run("--model", "tiny", "doctor").stdout
    )


@pytest.mark.parametrize(
    ("content", "variable", "reason"),
    [("model = ", "", "is no TOML: Invalid value"), ("", "x", "GPTOSS_ACP_SEED must be a whole number, not 'x'")],
)
def test_a_setting_that_can_not_be_read_is_to_be_fixed_and_all_else_is_looked_at(
    content: str, variable: str, reason: str, machine: Machine
) -> None:
    file = machine.home / "config/gptoss-acp/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    machine.environment["GPTOSS_ACP_SEED"] = variable
    findings = machine.findings("--model", "tiny")
    assert (findings["config"]["state"], findings["model"]["state"]) == ("fix", "ok")
    assert reason in findings["config"]["found"]


def test_known_variables_are_listed(machine: Machine) -> None:
    machine.environment |= {"GPTOSS_ACP_SEED": "1", "GPTOSS_ACP_MODEL": "tiny"}
    found = machine.findings()["variables"]
    assert (found["state"], found["found"]) == ("ok", "GPTOSS_ACP_MODEL, GPTOSS_ACP_SEED")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has its sandbox in one place")
def test_without_bubblewrap_what_to_install_is_said(machine: Machine) -> None:
    machine.environment["PATH"] = str(machine.home)
    findings = machine.findings("--model", "tiny")
    assert findings["sandbox"]["state"] == "look"
    assert "nstall bubblewrap" in findings["sandbox"]["advice"]
    assert findings["git"]["state"] == "look"
    required = machine.findings("--model", "tiny", "--sandbox", "require")["sandbox"]
    assert required["state"] == "fix"


def test_a_sandbox_that_is_switched_off_is_named(machine: Machine) -> None:
    assert machine.findings("--model", "tiny", "--sandbox", "off")["sandbox"]["found"] == "it is switched off"


def without(*modules: str) -> list[str]:
    """Return the program where these modules can't be imported."""
    hidden = f"import sys; sys.modules.update(dict.fromkeys({modules!r})); sys.argv[0] = 'gptoss-acp'"
    return [*MODULE, f"{hidden}; from gptoss_acp.cli.main import main; main()"]


def test_without_mlx_the_extra_to_install_is_named(machine: Machine) -> None:
    findings = machine.findings("--model", "tiny", command=without("mlx", "mlx.core"))
    assert list(findings) == CHECKED
    assert findings["MLX"]["state"] == "fix"
    if sys.platform == "linux":
        for extra in ("cpu", "cuda12", "cuda13"):
            assert f'pip install "gptoss-acp[{extra}]"' in findings["MLX"]["advice"]
    assert findings["memory"]["state"] == "look"
    assert findings["model"]["state"] == "ok"


def test_on_a_system_without_what_the_agent_needs_it_still_says_what_it_can(machine: Machine) -> None:
    findings = machine.findings("--model", "tiny", command=without("fcntl"))
    assert findings["log"]["state"] == "look"
    assert findings["log"]["found"].startswith("this could not be checked: ModuleNotFoundError")
    assert findings["variables"]["state"] == "ok"


def test_a_system_on_which_it_does_not_run_is_one_line_among_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system, "here", lambda: system.System("darwin", "x86_64", "22.6.0"))
    monkeypatch.setattr(doctor, "CHECKS", {name: doctor.CHECKS[name] for name in ("system", "git")})
    monkeypatch.setattr("sys.argv", ["gptoss-acp", "doctor"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert "fix  system" in shown
    assert " git " in shown


def test_a_check_that_fails_says_so_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: Settings) -> list[Finding]:
        raise ValueError("of all things")

    def well(_: Settings) -> list[Finding]:
        return [Finding("well", "ok", "fine")]

    monkeypatch.setattr(doctor, "CHECKS", {"bad": failing, "good": well})
    bad, good = doctor.examine(Settings())
    assert (bad.name, bad.state) == ("bad", "look")
    assert bad.found == "this could not be checked: ValueError: of all things"
    assert good == Finding("well", "ok", "fine")


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_on_a_terminal_every_line_fits_but_for_paths_which_are_whole(columns: int, tmp_path: Path) -> None:
    machine = Machine(tmp_path / ("a folder with a name " + "and more of it " * 3 + "end"))
    machine.folders["data"].mkdir(parents=True, mode=0o700)
    config = machine.home / "config/gptoss-acp/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("effortt = 'a'\n")
    shown = in_terminal(machine, columns)
    assert "\x1b[" in shown
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert any(f"{machine.folders['data']}" in line for line in lines)
    for line in lines:
        assert len(line) <= columns or str(machine.home) in line or sys.prefix in line
        assert re.match(r"([✓•✗] (ok  |look|fix ) \S.{10} \S| {19}\S|$|\d+ to fix)", line), line


def test_no_colour_where_that_is_asked_for_nor_in_a_pipe(machine: Machine) -> None:
    assert "\x1b" not in machine.run("doctor").stdout
    machine.environment["NO_COLOR"] = "1"
    assert "\x1b[3" not in in_terminal(machine, 80)


def test_a_terminal_that_knows_only_ascii_is_shown_all(machine: Machine) -> None:
    machine.environment |= {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    machine.write_log("2026-01-02 10:00:00,123 7 WARNING gptoss_acp.turn: für " + "x" * 1000 + "\n")
    done = machine.run("doctor")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.isascii()
    assert "x fix  model" in done.stdout
    assert "+ ok   Python" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(machine: Machine) -> None:
    done = machine.run(command=["sh", "-c", f"{COMMAND[0]} doctor | head -n 1"])
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_a_terminal_that_does_not_know_its_width_is_shown_all(machine: Machine) -> None:
    machine.environment["COLUMNS"] = "0"
    assert "variables" in machine.run("doctor").stdout


def test_with_a_closed_output_it_ends_as_otherwise(machine: Machine) -> None:
    done = machine.run(command=["sh", "-c", f"{COMMAND[0]} --model tiny doctor >&-"])
    assert (done.returncode, done.stderr) == (0, "")


def test_it_needs_no_network(machine: Machine) -> None:
    machine.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    assert machine.findings()["model"]["state"] == "fix"


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 KB"), (2_500_000, "2.5 MB"), (13_800_000_000, "13.8 GB")],
)
def test_sizes_are_said_in_human_units(size: int, words: str) -> None:
    assert readable(size).replace("\u00a0", " ") == words


def test_of_an_editor_whose_settings_are_a_program_it_does_not_say_that_they_are_changed(machine: Machine) -> None:
    (machine.home / "data/nvim/lazy/avante.nvim").mkdir(parents=True)
    assert machine.findings()["editor"]["advice"] == "gptoss-acp editor neovim shows what to add."


def test_an_editor_without_this_agent_is_named_with_what_adds_it(machine: Machine) -> None:
    settings = machine.home / "config/zed/settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text("{}\n")
    found = machine.findings()["editor"]
    assert (found["state"], found["found"]) == ("look", "Zed does not have this agent yet")
    assert found["advice"].startswith("gptoss-acp editor zed shows")
    settings.write_text(json.dumps({"agent_servers": {"gpt-oss": {"command": "/gone/python", "args": []}}}))
    found = machine.findings()["editor"]
    assert (found["state"], found["found"]) == ("look", "Zed starts this agent with /gone/python, which is not there")
    entry = {"type": "custom", "command": COMMAND[0], "args": ["--model", "tiny"], "env": {}}
    settings.write_text(json.dumps({"agent_servers": {"gpt-oss": entry}}))
    found = machine.findings()["editor"]
    assert (found["state"], found["found"]) == ("look", "Zed has this agent, with other values")
    settings.write_text(json.dumps({"agent_servers": {"gpt-oss": {**entry, "args": []}}}))
    assert machine.findings()["editor"]["state"] == "ok"
    settings.write_text("{ not JSON")
    assert machine.findings()["editor"]["found"] == "Zed has settings that can't be read"
