"""What a part of the benchmark hands back, and how it is shown.

Knows numbers and targets. Knows nothing about what was measured.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

BACKENDS = ("mlx-metal", "mlx-cuda-13", "mlx-cuda-12", "mlx-cpu")


class BenchError(Exception):
    """A measurement that means nothing, because something did not work."""


@dataclass(frozen=True)
class Plan:
    """What to run: how often each measurement is repeated, and whether to take the short way."""

    model: str
    runs: int
    quick: bool

    @property
    def agent(self) -> tuple[str, ...]:
        """The agent's arguments: the model, sampled greedily, and called once a turn.

        A folder may hold random weights, which say the same thing over and over and must not be stopped for it.
        """
        unstopped = () if self.model == "tiny" else ("--stop-repetition", "off")
        return ("--model", self.model, "--temperature", "0", "--max-turn-requests", "1", *unstopped)


@dataclass(frozen=True)
class Lines:
    """A plot of points (x, y), one line for each of `series`; `limit` is a value of y that should not be passed."""

    title: str
    x_label: str
    y_label: str
    series: dict[str, list[tuple[float, float]]]
    limit: float | None = None
    from_zero: bool = True


@dataclass(frozen=True)
class Histogram:
    """A plot of how often values of x come up, for each of `series`; `limit` is a value that should not be passed."""

    title: str
    x_label: str
    y_label: str
    series: dict[str, list[float]]
    limit: float | None = None


@dataclass(frozen=True)
class Figure:
    """One measured number, in `unit`; without a target it is there to compare with."""

    name: str
    measured: float
    target: float | None = None
    unit: str = ""
    at_least: bool = False
    detail: str = ""
    samples: dict[str, list[float]] = field(default_factory=dict)
    plots: tuple[Lines | Histogram, ...] = ()

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.measured >= self.target if self.at_least else self.measured <= self.target

    def record(self) -> dict[str, Any]:
        """Return what the JSON file keeps."""
        return {**asdict(self), "met": self.met}

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return what a table shows: name, measured, target, verdict, detail."""
        return self.name, _number(self.measured, self.unit), _target(self), _verdict(self), self.detail


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as aligned lines: name, measured, target, verdict, detail."""
    rows = [("figure", "measured", "target", "", ""), *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    installed = {distribution.name for distribution in distributions()}
    return {
        "system": platform.platform(terse=True),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "backend": next((backend for backend in BACKENDS if backend in installed), "unknown"),
        "python": platform.python_version(),
        **{name: version(name) for name in ("gptoss-acp", "mlx", "mlx-lm", "openai-harmony")},
    }


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _number(number: float, unit: str) -> str:
    return f"{number:.3g} {unit}".rstrip() if abs(number) < 1000 else f"{number:,.0f} {unit}".rstrip()


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return ("≥ " if figure.at_least else "≤ ") + _number(figure.target, figure.unit)


def _verdict(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return "ok" if figure.met else "MISSED"
