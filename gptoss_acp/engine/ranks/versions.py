"""What all ranks must have the same of: programs. Imports no MLX, because that costs seconds."""

from __future__ import annotations

import platform
from importlib import metadata

from gptoss_acp import __version__


def _of(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


GREETING = f"gptoss-acp {__version__}, mlx {_of('mlx')}, mlx-lm {_of('mlx-lm')}"

PYTHON = f"Python {platform.python_version()}"
