"""The command line and the environment: every setting is a flag and a variable, and a wrong value says so."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from gptoss_acp import settings
from gptoss_acp.settings import MODES, Mode, Settings, as_mode


def parse(*arguments: str) -> Settings:
    parser = argparse.ArgumentParser(prog="gptoss-acp")
    settings.add_flags(parser)
    return settings.parse(parser, arguments)


def help_text() -> str:
    parser = argparse.ArgumentParser(prog="gptoss-acp")
    settings.add_flags(parser)
    return parser.format_help()


GIVEN: dict[str, tuple[str, Any]] = {
    "model": ("tiny", "tiny"),
    "hosts": ("/tmp/hosts.json", Path("/tmp/hosts.json")),
    "effort": ("high", "high"),
    "mode": ("read-only", "read-only"),
    "temperature": ("0.5", 0.5),
    "top_p": ("0.9", 0.9),
    "seed": ("0", 0),
    "max_tokens": ("7", 7),
    "context_length": ("4096", 4096),
    "memory_gb": ("1.5", 1.5),
    "wired_gb": ("0", 0.0),
    "disk_gb": ("0", 0.0),
    "idle_minutes": ("5", 5.0),
    "keep_days": ("7", 7.0),
    "max_turn_requests": ("3", 3),
    "stop_repetition": ("off", "off"),
    "sandbox": ("require", "require"),
    "sandbox_servers": ("network", "network"),
    "pass_variables": ("MY_TOKEN,X_*", "MY_TOKEN,X_*"),
    "download": ("openai/gpt-oss-20b", "openai/gpt-oss-20b"),
    "encoding": ("cp1252", "cp1252"),
    "thinking": ("off", "off"),
    "titles": ("off", "off"),
    "header_grammar": ("off", "off"),
    "log_level": ("debug", "debug"),
    "trace": ("/tmp/trace", Path("/tmp/trace")),
    "script": ("/tmp/script", Path("/tmp/script")),
}
NAMES = [setting.name for setting in fields(Settings)]


def test_without_arguments_everything_is_at_its_default() -> None:
    assert parse() == Settings()


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_a_flag(name: str) -> None:
    text, value = GIVEN[name]
    assert getattr(parse("--" + name.replace("_", "-"), text), name) == value


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_an_environment_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, value = GIVEN[name]
    monkeypatch.setenv(f"GPTOSS_ACP_{name.upper()}", text)
    assert getattr(parse(), name) == value


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTOSS_ACP_TEMPERATURE", "0.7")
    assert parse("--temperature", "0").temperature == 0


def test_an_empty_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTOSS_ACP_MODEL", "")
    assert parse().model == Settings().model


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("temperature", "-0.1"),
        ("temperature", "10.5"),
        ("temperature", "nan"),
        ("temperature", "warm"),
        ("top_p", "1.01"),
        ("top_p", "-1"),
        ("max_tokens", "0"),
        ("max_tokens", "1.5"),
        ("context_length", "-5"),
        ("max_turn_requests", "0"),
        ("keep_days", "-1"),
        ("keep_days", "1e12"),
        ("memory_gb", "inf"),
        ("memory_gb", "1e-9"),
        ("memory_gb", "nan"),
        ("disk_gb", "inf"),
        ("wired_gb", "inf"),
        ("idle_minutes", "0"),
        ("idle_minutes", "nan"),
        ("context_length", "10"),
        ("seed", "-1"),
        ("seed", str(2**64)),
        ("effort", "extreme"),
        ("mode", "yolo"),
        ("log_level", "loud"),
        ("encoding", "klingon"),
        ("seed", "many"),
    ],
)
@pytest.mark.parametrize("place", ["flag", "variable"])
def test_a_wrong_value_ends_with_a_line_that_names_the_setting(
    name: str, text: str, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = []
    if place == "flag":
        arguments = [f"--{name.replace('_', '-')}={text}"]
    else:
        monkeypatch.setenv(f"GPTOSS_ACP_{name.upper()}", text)
    with pytest.raises(SystemExit) as ending:
        parse(*arguments)
    assert ending.value.code == 2
    last_line = capsys.readouterr().err.splitlines()[-1].lower().replace("-", "_")
    assert name in last_line


def test_help_names_every_setting_but_the_hidden_one() -> None:
    shown = [name for name in NAMES if "--" + name.replace("_", "-") in help_text()]
    assert shown == [name for name in NAMES if name != "script"]


def test_help_and_version_work_without_an_editor(tmp_path: Path) -> None:
    for flag, expected in (("--help", "GPTOSS_ACP_MODEL"), ("--version", "0.")):
        done = subprocess.run(
            [sys.executable, "-m", "gptoss_acp", flag],
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert expected in done.stdout
        assert done.stderr == ""


def test_every_mode_is_described_and_no_other_exists() -> None:
    assert tuple(MODES) == get_args(Mode)
    assert as_mode("ask") == "ask"
    assert as_mode("yolo") is None
