"""`gptoss-acp editor`: adds this agent to the editors on this machine, each after a yes, and takes it out again.

Knows the terminal. Knows nothing about an editor's own form.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table

from gptoss_acp.cli import entry, printing
from gptoss_acp.cli.editors.known import Editor, editors
from gptoss_acp.cli.editors.settings_file import SettingsError, SettingsFile
from gptoss_acp.engine import checkpoints
from gptoss_acp.text import unified_diff, visible

if TYPE_CHECKING:
    import argparse

    from gptoss_acp.cli.editors.settings_file import State
    from gptoss_acp.settings import Settings

_WORDS: dict[State, str] = {
    "there": "yes",
    "differs": "yes, with other values",
    "missing": "no",
    "unreadable": "unknown",
}
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def run(_: Settings, given: argparse.Namespace) -> None:
    """Do what was asked for; a failure ends the program with code 1 and a message."""
    model, hosts = given.model and checkpoints.lasting_name(given.model), given.hosts and Path(given.hosts)
    known = editors(entry.server(model, hosts))
    named = [editor for editor in known if editor.name == given.name]
    if given.print:
        if not named:
            sys.exit(f"gptoss-acp: --print needs an editor's name: {', '.join(editor.name for editor in known)}")
        print(named[0].snippet, end="")
        return
    console = Console(highlight=False, soft_wrap=True)
    if not named:
        console.print(_table(known))
    try:
        whole = [_settle(console, editor, given) for editor in named or known if named or editor.found]
    except KeyboardInterrupt:
        console.print("\nStopped.")
        sys.exit(130)
    if not all(whole):
        sys.exit(1)


def _table(known: list[Editor]) -> Table:
    table = Table("", "editor", "gpt-oss in it", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for editor in known:
        state = ", ".join(_WORDS[state] for state in editor.states)
        table.add_row(editor.name, editor.title, state if editor.found else "[dim]not found here[/dim]")
    return table


def _settle(console: Console, editor: Editor, given: argparse.Namespace) -> bool:
    """Add or remove our entry in all of an editor's settings, and return whether that went well."""
    console.print(f"\n[bold]{editor.title}[/bold]{'' if editor.found else ', which was not found on this machine'}")
    if not editor.files:
        _show(console, editor, remove=given.remove)
        return True
    whole = True
    for file in editor.files:
        try:
            _change(console, file, remove=given.remove, ask=not given.yes)
        except SettingsError as error:
            console.file.flush()
            print(f"gptoss-acp: {error}", file=sys.stderr)
            whole = False
    return whole


def _show(console: Console, editor: Editor, *, remove: bool) -> None:
    """Show a person what to do in settings that are a program, which nobody but a person changes."""
    if editor.is_named_in_programs and not remove:
        console.print("It is there.")
        return
    what = "Take this out of" if remove else "Add this to"
    printing.say(console, f"Its settings are a program, which is not changed from here. {what} {editor.where}:")
    console.print()
    console.print(editor.snippet, markup=False, end="")


def _change(console: Console, file: SettingsFile, *, remove: bool, ask: bool) -> None:
    """Show what would change in a file, and change it after a yes.

    Raises:
        SettingsError: it can't be changed, or there is nobody to ask.
    """
    old = file.read()
    new = file.without_entry(old) if remove else file.with_entry(old)
    if new == old:
        printing.say(console, f"{file.path}: {'there is no such entry' if remove else 'it is there'}.")
        return
    _show_diff(console, file, old, new)
    if ask and not _agreed(console, "Remove it" if remove else "Add it" if file.entry(old) is None else "Change it"):
        console.print("Nothing was changed.")
        return
    backup = file.write(old, new)
    printing.say_done(console, f"Done. What was there is in {backup}" if backup else "Done.")


def _show_diff(console: Console, file: SettingsFile, old: str, new: str) -> None:
    for line in unified_diff(str(file.path), old, new):
        console.print(visible(line.removesuffix("\r")), style=_COLOURS.get(line[0], ""), markup=False)


def _agreed(console: Console, question: str) -> bool:
    """Ask.

    Raises:
        SettingsError: there is nobody to ask.
    """
    problem = "There is nobody to ask. Run it in a terminal, or with --yes. Nothing was changed."
    if not sys.stdin.isatty():
        raise SettingsError(problem)
    try:
        return Confirm.ask(f"{question}?", console=console, default=False)
    except EOFError:
        raise SettingsError(problem) from None
