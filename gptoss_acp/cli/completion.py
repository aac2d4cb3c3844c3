"""`gptoss-acp completion`: what a shell has to read to complete our command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shtab

if TYPE_CHECKING:
    import argparse

    from gptoss_acp.settings import Settings


def run(_: Settings, given: argparse.Namespace) -> None:
    print(shtab.complete(given.parser, given.shell))
