"""Other processes, as this machine knows them. Knows nothing about who started them."""

from __future__ import annotations

from pathlib import Path

import psutil


def alive(number: int) -> bool:
    """Whether there is such a process; one that has ended and that nobody has waited for is none."""
    try:
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def noted(file: Path) -> int:
    """Return the number of a process that has written it into `file`, 0 as long as it has not."""
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def works_in(folder: Path) -> bool:
    """Whether any process has `folder` as its working directory."""
    return any(_folder(process) == str(folder) for process in psutil.process_iter())


def running(line: str) -> bool:
    """Whether any process has this command line."""
    return any(" ".join(_line(process)) == line for process in psutil.process_iter())


def children(number: int) -> list[psutil.Process]:
    """Return all that came of a process and has not ended."""
    return [child for child in psutil.Process(number).children(recursive=True) if alive(child.pid)]


def _folder(process: psutil.Process) -> str:
    try:
        return str(process.cwd())
    except psutil.Error:
        return ""


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
