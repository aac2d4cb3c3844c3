"""`gptoss-acp doctor`: looks at this machine and says, line by line, what is fine and what is not.

Knows how findings are shown. Knows nothing about what is checked: a check is a function in `checks/`, named in CHECKS.
"""

from __future__ import annotations

import json
import logging
import sys
import textwrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from gptoss_acp.cli import printing
from gptoss_acp.cli.checks import (
    checkpoint,
    configuration,
    confinement,
    editors_here,
    installation,
    log_file,
    machines,
    own_folders,
    skills,
)
from gptoss_acp.cli.checks.finding import Finding, plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from gptoss_acp.cli.checks.finding import Check
    from gptoss_acp.settings import Settings

CHECKS: dict[str, Check] = {
    "versions": installation.versions,
    "system": installation.this_system,
    "MLX": installation.mlx,
    "memory": checkpoint.room,
    "model": checkpoint.files,
    "hosts": machines.hosts,
    "sandbox": confinement.sandbox,
    "editors": editors_here.editors,
    "skills": skills.skills,
    "git": installation.git,
    "ripgrep": installation.ripgrep,
    "folders": own_folders.folders,
    "disks": own_folders.disks,
    "log": log_file.log,
    "config": configuration.keys,
    "variables": configuration.variables,
}
"""What is looked at, in this order, each by itself."""

_STYLES = {"ok": "green", "look": "yellow", "fix": "bold red"}
_NAME = 11
_INDENT = " " * (len("✓ look ") + _NAME + 1)
_NARROWEST = 30
"""Columns of words beside the names, on terminals however narrow."""


def run(chosen: Settings, given: argparse.Namespace) -> None:
    """Say what was found, and end the program: with code 1 where there is something to fix."""
    # Not to the log: that would make it, and have the next one look at what this one did.
    if chosen.log_level:
        logging.basicConfig(level=chosen.log_level.upper())
    else:
        logging.getLogger().addHandler(logging.NullHandler())
    findings = list(examine(chosen))
    if given.json:
        print(as_json(findings))
    else:
        _show(Console(highlight=False, soft_wrap=True), findings)
    sys.exit(_to_fix(findings) > 0)


def examine(chosen: Settings) -> Iterator[Finding]:
    """Yield what every check finds; one that fails says so, and the others go on."""
    for name, check in CHECKS.items():
        try:
            yield from check(chosen)
        except Exception as error:  # noqa: BLE001 (whatever a machine can do to a check)
            failed = f"this could not be checked: {type(error).__name__}: {error}"
            yield Finding(name, "look", failed, "The other lines hold all the same. Please report this one.")


def as_json(findings: list[Finding]) -> str:
    """Return findings as one JSON object on one line."""
    checks = [
        {"name": finding.name, "state": finding.state, "found": plain(finding.found), "advice": plain(finding.advice)}
        for finding in findings
    ]
    return json.dumps({"ok": not _to_fix(findings), "checks": checks})


def _to_fix(findings: list[Finding]) -> int:
    return sum(finding.state == "fix" for finding in findings)


def _show(console: Console, findings: list[Finding]) -> None:
    marks = printing.marks(console)
    mark_of = {"ok": marks.well, "look": marks.so_so, "fix": marks.wrong}
    for finding in findings:
        head = Text(f"{mark_of[finding.state]} {finding.state:4} ", _STYLES[finding.state])
        first, *rest = _lines(finding.found, console.width) or [""]
        console.print(head + Text(f"{finding.name:{_NAME}} ", "bold") + Text(first))
        for line in rest:
            console.print(Text(_INDENT + line))
        for line in _lines(finding.advice, console.width):
            console.print(Text(_INDENT + line, _STYLES[finding.state]))
    fix, look = _to_fix(findings), sum(finding.state == "look" for finding in findings)
    console.print(f"\n{fix} to fix, {look} to look at" if fix or look else "\nAll is fine.")


def _lines(text: str, width: int) -> list[str]:
    """Return words in lines beside the names. A path is in one line even where that is wider than the terminal."""
    room = max(_NARROWEST, width - len(_INDENT))
    wrapped = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return [plain(line) for line in wrapped]
