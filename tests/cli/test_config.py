"""`gptoss-acp config` and the file behind it, as a person uses them: the real program in a home of its own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.agent_process import COMMAND, AgentProcess
from tests.support.spawner import Spawner

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config/gptoss-acp/config.toml"


@pytest.fixture
def config(file: Path) -> Command:
    def run(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *before, "config", *arguments], capture_output=True, text=True, check=False, cwd=file.parents[2]
        )

    return run


def row(shown: subprocess.CompletedProcess[str], name: str) -> list[str]:
    (line,) = (line for line in shown.stdout.splitlines() if line.split()[:1] == [name])
    return line.split()


def test_a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default(
    config: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert row(config(), "effort") == ["effort", "medium", "default"]
    assert config("set", "effort", "high").stdout == f"{file}: effort is high\n"
    assert row(config(), "effort") == ["effort", "high", "config.toml"]
    monkeypatch.setenv("GPTOSS_ACP_EFFORT", "low")
    assert row(config(), "effort") == ["effort", "low", "GPTOSS_ACP_EFFORT"]
    assert row(config(before=("--effort", "medium")), "effort") == ["effort", "medium", "--effort"]
    monkeypatch.delenv("GPTOSS_ACP_EFFORT")
    assert config("unset", "effort").returncode == 0
    assert row(config(), "effort") == ["effort", "medium", "default"]
    assert config("path").stdout == f"{file}\n"


def test_a_folder_is_kept_by_its_whole_path(config: Command, file: Path) -> None:
    assert config("set", "model", "./ckpt").returncode == 0
    assert file.read_text() == f'model = "{file.parents[2]}/ckpt"\n'


def test_comments_and_order_stay(config: Command, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text('# mine\nmemory-gb = 8  # enough\n\nmodel = "tiny"\n')
    assert config("set", "memory-gb", "12.5").returncode == 0
    assert config("set", "titles", "off").returncode == 0
    assert file.read_text() == '# mine\nmemory-gb = 12.5  # enough\n\nmodel = "tiny"\ntitles = "off"\n'


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("set", "modl", "x"), "there is no setting 'modl' (did you mean model or mode?)"),
        (("set", "memory-gb", "much"), "memory-gb must be a number, not 'much'"),
        (("set", "mode", "yolo"), "mode must be one of read-only, ask"),
        (("set", "top-p", "3"), "top-p must be between 0 and 1"),
        (("unset", "zzzzzz"), "there is no setting 'zzzzzz'"),
        (("set", "script", "x"), "there is no setting 'script'"),
        (("set", "encoding", "rot13"), "encoding must be the name of one"),
        (("set", "encoding", "idna"), "encoding must be the name of one"),
        (("set", "pass-variables", os.fsdecode(b"\xff")), "pass-variables can't be kept in"),
    ],
)
def test_what_is_no_setting_or_no_value_is_not_written(
    arguments: tuple[str, ...], problem: str, config: Command, file: Path
) -> None:
    ended = config(*arguments)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"gptoss-acp: {problem}")
    assert not file.exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"model = ['a']", "must be a text"),
        (b"seed = 'x'", "must be a whole number"),
        (b'trace = "a\\u0000b"', "must not have a null character"),
        (b"mode = 'yolo'", "must be one of read-only"),
        (b"temperature = 11", "config.toml must be between 0 and 10, not 11"),
    ],
)
def test_a_wrong_file_ends_the_program_with_the_reason_and_can_be_mended(
    content: bytes, problem: str, config: Command, file: Path
) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    ended = config()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(rf"gptoss-acp: .*{re.escape(problem)}.*\n", ended.stderr)
    assert config("unset", content.split()[0].decode()).returncode == 0
    assert config().returncode == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"model = ", "config.toml is no TOML: Invalid value (at end of document)"),
        (b"seed = 1\nmodel = \xff", "config.toml is not in UTF-8: see line 2"),
        (b"a = " + b"[" * 20_000 + b"]" * 20_000, "config.toml is nested too deeply"),
        (b"#" * 2**21, "config.toml can't be read: it is larger than 1 MiB"),
    ],
)
def test_what_is_no_toml_ends_the_program_with_the_reason_and_is_not_written_over(
    content: bytes, problem: str, config: Command, file: Path
) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    for arguments in ((), ("set", "model", "tiny"), ("unset", "model")):
        ended = config(*arguments)
        assert ended.returncode != 0
        assert problem in ended.stderr
    assert file.read_bytes() == content


def test_what_lies_in_the_files_place_and_is_none_is_told_and_not_waited_for(config: Command, file: Path) -> None:
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    for arguments in ((), ("set", "model", "tiny")):
        ended = config(*arguments)
        assert ended.returncode != 0
        assert "config.toml can't be read: it is no regular file" in ended.stderr


def test_nothing_that_a_terminal_obeys_is_printed(config: Command, file: Path) -> None:
    assert "\x1b" not in config("set", "pass-variables", "\x1b[31mX").stdout
    assert row(config(), "pass-variables")[1] == "\\u{1B}[31mX"


def test_a_byte_order_mark_is_no_part_of_the_first_name(config: Command, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\xef\xbb\xbfseed = 1\n")
    assert row(config(), "seed") == ["seed", "1", "config.toml"]
    assert config("set", "seed", "2").returncode == 0
    assert row(config(), "seed") == ["seed", "2", "config.toml"]


@pytest.mark.parametrize(
    "command", ["help", "completion bash", "sessions", "cache", "config path", "editor zed --print"]
)
def test_a_wrong_file_is_no_hindrance_to_what_needs_no_settings(
    command: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(b"model = ")
    monkeypatch.setenv("GPTOSS_ACP_SEED", "x")
    ended = subprocess.run([*COMMAND, *command.split()], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_agent_goes_by_the_file_and_tells_of_names_that_are_no_settings(
    spawn: Spawner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    file = home / "config/gptoss-acp/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('model = "tiny"\nmax-tokens = 3\ntemperatur = 0\n')
    monkeypatch.setenv("GPTOSS_ACP_EFORT", "low")
    agent: AgentProcess = spawn(home=home)
    session = agent.open()
    assert agent.result(agent.prompt(session, "Hello"), 120)["stopReason"] == "max_tokens"
    told = " ".join(agent.messages(session))
    assert f"'temperatur' in {file} is no setting (did you mean temperature?)" in told
    assert "'GPTOSS_ACP_EFORT' in the environment is no setting (did you mean GPTOSS_ACP_EFFORT?)" in told
