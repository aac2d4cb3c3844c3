"""The last error or warning in the log. Reads no more than the log's end."""

from __future__ import annotations

import re
import shlex
import stat
from typing import TYPE_CHECKING

from gptoss_acp.cli.checks.finding import Finding, readable, whole
from gptoss_acp.text import clip_line, visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gptoss_acp.settings import Settings

MOST_READ = 256 * 1024
LONGEST_SHOWN = 300

_PROBLEM = re.compile(r"^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\S* \d+ (?P<said>(?:WARNING|ERROR|CRITICAL) .*)")


def log(_: Settings) -> Iterator[Finding]:
    """Say what went wrong last."""
    from gptoss_acp import server  # noqa: PLC0415 (can't be imported on each system)

    file = server.log_file()
    if not file.is_file():
        yield Finding("log", "ok", f"{whole(file)}, not there yet")
        return
    info = file.stat()
    found = f"{whole(file)}, {readable(info.st_size)}"
    problems = [problem for line in _last_lines(file) if (problem := _PROBLEM.match(line))]
    if is_open := info.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        advice = f"{whole(f'chmod 600 {shlex.quote(str(file))}')} keeps it for you alone."
        yield Finding("log", "look", f"{found}, is open to other users", advice)
    if problems:
        last = problems[-1]
        shown = f"{last['time']} {clip_line(visible(last['said']), LONGEST_SHOWN)}"
        yield Finding("log", "look", f"{found}. Its last problem: {shown}", "The log says more.")
    elif not is_open:
        yield Finding("log", "ok", f"{found}, no problem in its last lines")


def _last_lines(file: Path) -> list[str]:
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - MOST_READ))
        return opened.read(MOST_READ).decode(errors="replace").split("\n")
