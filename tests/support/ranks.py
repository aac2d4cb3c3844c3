"""Models that two processes of this machine compute together, over MLX's ring on the loopback."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.cli import serve
from gptoss_acp.engine.api import EngineOptions
from gptoss_acp.engine.messages import Close
from gptoss_acp.engine.mlx_engine import MlxEngine, Shared
from gptoss_acp.engine.ranks.supervisor import RankSupervisor
from gptoss_acp.vocabulary import CALL, STOP_IDS

LOOPBACK = {"ssh": "localhost", "ips": ["127.0.0.1"]}

ENDING_SECONDS = 30

FAKE_SSH = """#!/bin/sh
# Stands in for the network: does on this machine what it is asked to do on another one.
case "$*" in *"BatchMode=yes"*" elsewhere exec "*) ;; *) echo "asked for: $*" >&2; exit 255;; esac
while [ $# -gt 1 ]; do shift; done
exec sh -c "$1"
"""

_numbers = itertools.count()


def write_hosts(folder: Path, *hosts: dict[str, Any], **more: Any) -> Path:
    """Write a hostfile; without `hosts` one of two ranks here."""
    file = folder / "hosts.json"
    file.write_text(json.dumps({"hosts": hosts or (LOOPBACK, LOOPBACK), **more}), "utf-8")
    return file


def fake_ssh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the host `elsewhere` be this machine, for whoever is asked to reach it as another one."""
    ssh = folder / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(FAKE_SSH)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(ssh.parent), prepend=os.pathsep)


@contextmanager
def supervised(hosts: Path, **options: Any) -> Iterator[RankSupervisor]:
    """Give ranks that store nothing unless `options` say so, and end them all."""
    every = {"stop_tokens": STOP_IDS, "branch_tokens": (CALL,), "disk_gb": 0.0, **options}
    supervisor = RankSupervisor(hosts, EngineOptions(**every), serve._matcher)
    try:
        yield supervisor
    finally:
        end(supervisor)


def engine_of(supervisor: RankSupervisor, model: str = "tiny") -> MlxEngine:
    """Return an engine for the test's own event loop."""
    return MlxEngine(model, supervisor._options, shared=Shared(supervisor, numbers=_numbers))


def pids(supervisor: RankSupervisor) -> list[int]:
    """Return the processes of all ranks."""
    assert supervisor._processes is not None
    return supervisor._processes.pids


def end(supervisor: RankSupervisor) -> None:
    """End all ranks, and wait for that."""
    supervisor.send(Close())
    assert supervisor.wait(ENDING_SECONDS)
