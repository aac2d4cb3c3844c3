"""What the tools that look at files take: of a project with very many, beside ripgrep alone, and of a very large file.

Makes the project and the file. Each tool is called as the model does it, in turns with ripgrep; medians count.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from benchmark.figures import BenchError, Figure, table

from gptoss_acp.workspace import ripgrep
from tests.support.desk import Desk

RATIO = 1.2
"""What a tool may take, of what ripgrep alone takes."""

NEAR_MS, ANYWHERE_MS = 20.0, 500.0
"""For a window of a very large file within its first 10 MB, and anywhere."""

LINE = b"%09d some text in a line of a log, as programs write it all day long, about a hundred bytes of it  \n"
QUERIES = {
    "a rare word": "needle",
    "a common one": "value",
    "an expression": r"def \w+_9\(",
    "a word not in ASCII": "naïve",
}


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        fill(folder / "project", arguments.files)
        write_large(folder / "large.log", arguments.gigabytes)
        figures = asyncio.run(measure(folder, arguments.runs))
    print(table(figures))
    if arguments.check and not all(figure.met for figure in figures):
        sys.exit(1)


def fill(project: Path, files: int) -> None:
    """Make a repository with so many files, and others that it ignores."""
    project.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / ".gitignore").write_text("*.pyc\n/build/\n")
    for number in range(files):
        folder = project / f"package_{number % 100}" / f"part_{number // 100 % 100}"
        folder.mkdir(parents=True, exist_ok=True)
        word = "needle" if number % 5_000 == 0 else "value"
        (folder / f"module_{number}.py").write_text(f"def function_{number}():\n    return {word!r}\n" * 5)
        if number % 10 == 0:
            (folder / f"module_{number}.pyc").write_bytes(b"\0" * 100)


def write_large(file: Path, gigabytes: float) -> None:
    with file.open("wb") as log:
        for first in range(0, int(gigabytes * 10**9) // len(LINE % 0), 100_000):
            log.write(b"".join(LINE % number for number in range(first, first + 100_000)))


async def measure(folder: Path, runs: int) -> list[Figure]:
    project, large = folder / "project", folder / "large.log"
    desk = Desk(project)
    figures = [await _beside(desk, "the tree", "--files", "print_tree", runs, path="", depth=2)]
    for name, query in QUERIES.items():
        called = f"a search for {name}"
        figures.append(await _beside(desk, called, query, "search", runs, query=query))
    lines = large.stat().st_size // len(LINE % 0)
    places = {"the first lines": (1, NEAR_MS), "at 9 MB": (90_000, NEAR_MS)}
    places |= {"in the middle": (lines // 2, ANYWHERE_MS), "the last lines": (lines - 100, ANYWHERE_MS)}
    for name, (first, target) in places.items():
        opening = functools.partial(desk.call, "open_file", path=str(large), line_start=first, line_end=first + 99)
        (taken,) = await _in_turns([opening], runs)
        figures.append(Figure(f"{name} of a file of {large.stat().st_size / 1e9:.1f} GB", taken, target, "ms"))
    return figures


async def _beside(desk: Desk, name: str, searched: str, tool: str, runs: int, **arguments: object) -> Figure:
    raw = [ripgrep.program(), "--no-config", "--hidden", "--line-number", searched, "--glob=!.git", "./"]

    async def alone() -> None:
        with tempfile.TemporaryFile() as output:
            process = await asyncio.create_subprocess_exec(*raw, cwd=desk.cwd, stdout=output)
            if await process.wait() > 1:
                raise BenchError(f"ripgrep failed: {raw}")

    ours, theirs = await _in_turns([functools.partial(desk.call, tool, **arguments), alone], runs)
    return Figure(f"{name} ÷ rg ({ours:.0f} / {theirs:.0f} ms)", ours / theirs, RATIO)


async def _in_turns(ways: list[Callable[[], Awaitable[object]]], runs: int) -> list[float]:
    """Return the median of the milliseconds that each takes, the first time apart."""
    taken: list[list[float]] = [[] for _ in ways]
    for run in range(runs + 1):
        for samples, way in zip(taken, ways, strict=True):
            started = time.perf_counter()
            answer = await way()
            if isinstance(answer, str) and answer.startswith("Error"):
                raise BenchError(answer)
            if run:
                samples.append((time.perf_counter() - started) * 1000)
    return [median(samples) for samples in taken]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="how often each is measured (default: 10)")
    parser.add_argument("--files", type=int, default=100_000, help="files of the project (default: 100000)")
    parser.add_argument("--gigabytes", type=float, default=1.0, help="size of the large file (default: 1)")
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
