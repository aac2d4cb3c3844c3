"""What `gptoss-acp doctor` says of the machines that compute a model together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptoss_acp.cli.checks import machines
from gptoss_acp.cli.checks.finding import Finding, plain
from gptoss_acp.engine.ranks import examine, hostfile
from gptoss_acp.settings import Settings
from tests.support import ranks
from tests.support.ranks import LOOPBACK, write_hosts


def found(hosts: Path | None, model: str = "tiny") -> list[Finding]:
    return list(machines.hosts(Settings(model=model, hosts=hosts)))


def test_without_hosts_nothing_is_said() -> None:
    assert found(None) == []


def test_machines_that_have_the_same_are_fine_and_their_link_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks.fake_ssh(tmp_path, monkeypatch)
    host, link = found(write_hosts(tmp_path, LOOPBACK, {**LOOPBACK, "ssh": "elsewhere"}))
    assert (host.state, plain(host.found)) == ("ok", "elsewhere: reached, with the same programs and weights")
    assert (link.name, link.state) == ("link", "ok")
    assert plain(link.found).startswith("2 ranks, joined by ring: ")
    assert "µs to sum one token" in plain(link.found)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"versions": "gptoss-acp 0.0.1"}, "elsewhere has gptoss-acp 0.0.1"),
        ({"weights": "another"}, "elsewhere has other weights"),
        ({"problem": "The model is not on this machine yet."}, "elsewhere: The model is not on this machine yet."),
        ({"versions": 3, "weights": []}, "elsewhere has 3"),
    ],
)
def test_what_differs_is_to_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, object], said: str
) -> None:
    ours = examine.here("tiny")
    whole = {"versions": ours.versions, "weights": ours.weights, "problem": "", **answer}
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps(whole)}'\n")
    python.chmod(0o755)
    ranks.fake_ssh(tmp_path, monkeypatch)
    (host,) = found(write_hosts(tmp_path, LOOPBACK, {**LOOPBACK, "ssh": "elsewhere", "python": str(python)}))
    assert (host.state, plain(host.found)) == ("fix", said)
    assert host.advice


@pytest.mark.parametrize("answer", ["", "nonsense", "[1]", "{}"])
def test_an_answer_that_is_none_is_no_crash(tmp_path: Path, answer: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{answer}'\n")
    python.chmod(0o755)
    hosts = hostfile.read(write_hosts(tmp_path, LOOPBACK, {**LOOPBACK, "python": str(python)}))
    assert "not understood" in examine.on(hosts.hosts[1], "tiny").problem


def test_a_machine_that_is_not_reached_is_to_fix_with_what_ssh_says(tmp_path: Path) -> None:
    (host,) = found(write_hosts(tmp_path, LOOPBACK, {**LOOPBACK, "ssh": "nobody@nowhere.invalid"}))
    assert host.state == "fix"
    assert "nowhere" in plain(host.found)
    assert "ssh nobody@nowhere.invalid" in plain(host.advice)


def test_a_hostfile_that_can_not_be_used_is_to_fix(tmp_path: Path) -> None:
    (file,) = found(write_hosts(tmp_path, LOOPBACK))
    assert file.state == "fix"
    assert "fewer than two machines" in file.found
