"""`gptoss-acp help`: what `--help` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from gptoss_acp.settings import Settings


def run(_: Settings, given: argparse.Namespace) -> None:
    arguments = ["--help"] if given.about is None else [given.about, "--help"]
    given.parser.parse_args(arguments)  # which prints it and ends the program
