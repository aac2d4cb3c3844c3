"""What the sandbox costs each command: `true`, run plainly and in each of the ways that commands are, in turns.

Makes a project with repositories and editors' folders, so that as many places are mounted as asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from benchmark.figures import BenchError, Figure, table

from gptoss_acp.workspace import background, bubblewrap, landlock, launcher, process, supervisor
from gptoss_acp.workspace.sandbox import Sandbox
from gptoss_acp.workspace.view import Limits

TARGET_MS = 15.0

Way = Callable[[], Awaitable[object]]


def main() -> None:
    arguments = _arguments()
    if bubblewrap.program([]) is None:
        sys.exit("there is no bubblewrap that works here: apt install bubblewrap")
    # Not below /tmp, which is another one in the sandbox.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        project = Path(folder, "project")
        fill(project, arguments.mounts, arguments.files)
        figures = asyncio.run(measure(project, arguments.runs))
    print(table(figures))
    if arguments.check and not all(figure.met for figure in figures):
        sys.exit(1)


def fill(project: Path, mounts: int, files: int) -> None:
    """Make a repository with so many files, and folders that are mounted by themselves, about so many in all."""
    project.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    for number in range(max(0, mounts - 14)):
        (project / f"package-{number}/.vscode").mkdir(parents=True)
    for number in range(files):
        folder = project / f"src/{number % 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.py").write_text("pass\n")


async def measure(project: Path, runs: int) -> list[Figure]:
    sandbox = Sandbox("auto", [project])
    await sandbox.prepare()
    limits = Limits()
    words = sandbox.words(project, limits)
    mounts = sum(word in {"--bind", "--ro-bind", "--tmpfs", "--dev", "--proc"} for word in words)
    programs = background.Background()
    holding = functools.partial(process.run, background.HOLDING, project, dict(os.environ), within=words)
    inside = await programs.hold(limits, holding)
    told = {"command": ["true"], "cwd": str(project), "within": [], "passed": []}
    environment = {**os.environ, launcher.VARIABLE: json.dumps(told)}
    terminal = [sys.executable, "-I", "-S", launcher.__file__, "true"]
    ways: dict[str, Way] = {
        "plain": functools.partial(_run, project, []),
        "sandbox": functools.partial(_run, project, words),
        "joined": functools.partial(_run, project, supervisor.words(str(project), join=inside)),
        "supervised": functools.partial(_run, project, supervisor.words(str(project))),
        "launcher": functools.partial(_run, project, [], terminal, environment),
        "tidy": functools.partial(sandbox.tidy, time.time_ns()),
    }
    if landlock.works():
        confined = supervisor.words(str(project), writable=[str(project)], network=False)
        ways["landlock"] = functools.partial(_run, project, confined)
    taken = await _in_turns(ways, runs)
    await programs.stop()
    sandbox.close()
    plain = median(taken["plain"])
    more = {name: median(samples) - plain for name, samples in taken.items()}
    return [
        Figure("a command without anything of it", plain, unit="ms"),
        Figure(f"more in the sandbox, {mounts} mounts", more["sandbox"], TARGET_MS, "ms"),
        Figure("more where it joins what runs in the background", more["joined"], unit="ms"),
        Figure("more under the supervisor, without a sandbox", more["supervised"], unit="ms"),
        *([Figure("more in Landlock's", more["landlock"], unit="ms")] if "landlock" in more else []),
        Figure("more by the helper in an editor's terminal", more["launcher"], unit="ms"),
        Figure("looking for what has appeared, after it", median(taken["tidy"]), unit="ms"),
    ]


async def _in_turns(ways: dict[str, Way], runs: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            started = time.perf_counter()
            await way()
            taken[name].append((time.perf_counter() - started) * 1000)
    return taken


async def _run(
    project: Path, within: list[str], command: list[str] | None = None, environment: dict[str, str] | None = None
) -> None:
    output: list[str] = []
    run = process.run(command or ["true"], project, environment or dict(os.environ), output.append, within=within)
    if code := await run:
        raise BenchError(f"exit code {code}: {''.join(output)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50, help="how often each way is taken (default: 50)")
    parser.add_argument("--mounts", type=int, default=40, help="places that are mounted, about (default: 40)")
    parser.add_argument("--files", type=int, default=2_000, help="files of the project (default: 2000)")
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
