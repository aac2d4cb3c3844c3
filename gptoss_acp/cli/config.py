"""`gptoss-acp config`: each setting, where its value comes from, and the file that keeps what the user has chosen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from gptoss_acp import config_file, settings
from gptoss_acp.cli import ending
from gptoss_acp.engine import checkpoints
from gptoss_acp.text import visible

if TYPE_CHECKING:
    import argparse

    from gptoss_acp.settings import Settings


def run(_: Settings, given: argparse.Namespace) -> None:
    if given.action == "path":
        print(config_file.path())
        return
    for problem in settings.unknown():
        print(visible(str(problem)), file=sys.stderr)
    if given.action is None:
        _show(given.choices)
    else:
        _change(given.name, given.value if given.action == "set" else None)


def _show(choices: dict[str, settings.Choice]) -> None:
    table = Table("setting", "value", "from", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name, choice in choices.items():
        flag = name.replace("_", "-")
        if flag in settings.names():
            value = "" if choice.value is None else visible(str(choice.value))
            table.add_row(flag, value, choice.origin or "default")
    Console(highlight=False, markup=False, soft_wrap=True).print(table)
    print(f"\n{config_file.NAME}: {config_file.path()}")


def _change(name: str, text: str | None) -> None:
    """Set a value in the file, or take it out, and say so; where that can't be, end the program with a clear error."""
    try:
        value = None if text is None else settings.checked(name, text)
        if name == "model" and text is not None:
            value = checkpoints.lasting_name(text)
        if name not in config_file.load():
            settings.check_name(name)
        config_file.change(name, value if isinstance(value, int | float | None) else str(value))
    except (OSError, ValueError) as error:
        sys.exit(ending.told(str(error)))
    print(f"{config_file.path()}: {name} is {'as by default' if value is None else visible(str(value))}")
