"""Whether the program, Python, the system, MLX and the programs that tools call are what they need to be."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from gptoss_acp import __version__, mlx_extras, system
from gptoss_acp.cli.checks.finding import Finding, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gptoss_acp.settings import Settings

_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def versions(_: Settings) -> Iterator[Finding]:
    """Say which program this is, and which Python runs it."""
    yield Finding("gptoss-acp", "ok", f"{__version__}, {whole(Path(__file__).parents[2])}")
    yield Finding("Python", "ok", f"{platform.python_version()}, {whole(sys.executable)}")


def this_system(_: Settings) -> Iterator[Finding]:
    """Say whether this is a system on which the program runs."""
    here = system.here()
    name = f"macOS {platform.mac_ver()[0]}" if here.kind == "darwin" else f"{platform.system()} {here.kernel}"
    found = ", ".join(filter(None, (name, here.machine, here.libc)))
    if problem := system.problem(here):
        yield Finding("system", "fix", f"{found}: {problem}", "Use it on such a machine.")
    else:
        yield Finding("system", "ok", found)


def mlx(_: Settings) -> Iterator[Finding]:
    """Say what MLX computes with."""
    try:
        from gptoss_acp.engine import memory  # noqa: PLC0415 (needs MLX, which is of an extra)
    except ImportError as error:
        yield Finding("MLX", "fix", f"it is not installed, or not whole: {error}", _how_to_get_mlx())
        return
    found = f"{metadata.version('mlx')}, with {memory.backend()}"
    if memory.on_processor() and _NVIDIA_DRIVER.exists():
        yield Finding("MLX", "look", f"{found}, though there is an NVIDIA GPU", _how_to_get_mlx())
    else:
        yield Finding("MLX", "ok", found)


def _how_to_get_mlx() -> str:
    ways = mlx_extras.ways_to_install()
    return "; ".join(f"{machine}: {whole(command)}" for command, machine in ways.items()) + "."


def git(_: Settings) -> Iterator[Finding]:
    """Say whether the commands that the model likes most will find git."""
    if found := shutil.which("git"):
        yield Finding("git", "ok", whole(found))
    else:
        yield Finding("git", "look", "it is not in PATH", "Install git: the model looks at changes with it.")


def ripgrep(_: Settings) -> Iterator[Finding]:
    """Say whether the tools that look for files have what they look with."""
    from gptoss_acp.errors import ToolError  # noqa: PLC0415 (with what raises it)
    from gptoss_acp.workspace import ripgrep  # noqa: PLC0415 (can't be imported on each system)

    try:
        yield Finding("ripgrep", "ok", whole(ripgrep.program()))
    except ToolError:
        advice = f"{whole('pip install ripgrep')}, or install it for the whole system."
        yield Finding("ripgrep", "fix", "it is not there, and the model can't search files without", advice)
