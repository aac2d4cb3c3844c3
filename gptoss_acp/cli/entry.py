"""How this agent is started, by an editor and by hand: the command, as this very process was installed.

Knows where programs lie beside this Python. Knows nothing about editors' files.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from gptoss_acp import mlx_extras

NAME = "gpt-oss"
"""The agent's name in every editor."""

_OF_UVX = re.compile(r"(archive|environments)-v\d+")
"""The folders of uv's cache in which `uvx` and `uv tool run` make their environments."""


def server(model: str | None = None, hosts: Path | None = None) -> dict[str, Any]:
    """Return the command and its arguments, under the names that most editors have for them.

    It serves `model` on the machines of `hosts`, or what the configuration file names.
    """
    command, arguments = _command()
    chosen = [*(["--model", model] if model else []), *(["--hosts", lasting_path(hosts)] if hosts else [])]
    return {"command": command, "args": [*arguments, *chosen]}


def lasting_path(file: Path) -> str:
    """Return a file's path as it holds wherever the program is started."""
    return os.path.abspath(file.expanduser())  # noqa: PTH100 (links stay what they are)


def for_zed(server: dict[str, Any]) -> dict[str, Any]:
    return {"type": "custom", **server, "env": {}}


def _command() -> tuple[str, list[str]]:
    python = Path(sys.executable)
    if any(_OF_UVX.fullmatch(part) for part in python.parts):  # uv may clear it away, so nothing may point into it
        return "uvx", [*_with_what_computes(), "gptoss-acp"]
    program = python.with_name("gptoss-acp")
    if program.exists():
        return str(program), []
    # Without -P what lies in the project would be imported: the editor starts us there.
    return sys.executable, ["-P", "-m", "gptoss_acp"]


def _with_what_computes() -> list[str]:
    """Return what makes uvx install the extra that is installed here; without one nothing works, but on a Mac."""
    installed = {distribution.name for distribution in distributions()}
    extra = next((extra for extra, package in mlx_extras.PACKAGES.items() if package in installed), None)
    return ["--from", f"gptoss-acp[{extra}]"] if extra and sys.platform == "linux" else []
