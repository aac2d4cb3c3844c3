"""Our extras, each of which brings an MLX that computes with something else, and how one is installed.

Knows names, drivers and systems. Knows nothing about MLX, which may be missing.
"""

from __future__ import annotations

import sys

PACKAGES = {"cuda13": "mlx-cuda-13", "cuda12": "mlx-cuda-12", "cpu": "mlx-cpu"}
"""The package that each extra brings, the best first."""

_CONDITIONS = {"cuda13": "NVIDIA, driver 580 or newer", "cuda12": "NVIDIA, driver 550 or newer", "cpu": "without a GPU"}


def ways_to_install(platform: str = sys.platform) -> dict[str, str]:
    """Return the commands that install MLX on a system, and for which machine each is."""
    if platform == "darwin":
        return {"pip install gptoss-acp": "Apple silicon"}
    return {f'pip install "gptoss-acp[{extra}]"': machine for extra, machine in _CONDITIONS.items()}


def how_to_install(platform: str = sys.platform) -> str:
    """Return what to install on a system, in a sentence."""
    ways = ", ".join(f"{command} ({machine})" for command, machine in ways_to_install(platform).items())
    return f"Install what fits this machine: {ways}."
