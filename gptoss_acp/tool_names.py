"""Which tool of a session the model means by the name that it writes: the one table of names.

gpt-oss knows tools of many names from its training, and mixes them. Knows names only. Knows nothing about what a tool
does, nor about headers.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from gptoss_acp.tool_description import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EXEC = "container.exec"
PRINT_TREE = "repo_browser.print_tree"
SEARCH = "repo_browser.search"
OPEN_FILE = "repo_browser.open_file"
APPLY_PATCH = "repo_browser.apply_patch"
ASK_USER = f"{FUNCTIONS}.ask_user"
PYTHON = "python"
"""Not told, but gpt-oss was trained on it; its code is a command like others."""

_OTHER_NAMES = {
    EXEC: ("shell", "bash", "sh", "exec_command", "run_command", "local_shell"),
    PRINT_TREE: ("list_dir", "list_files", "list_directory", "ls", "tree", "find"),
    SEARCH: ("grep", "rg"),
    OPEN_FILE: ("read_file", "open", "cat", "view_file"),
    APPLY_PATCH: ("applypatch",),
}

_FUNCTIONS = re.compile(rf"({FUNCTIONS}\.)+")
_JOINTS = re.compile(r"[\s-]+")


class ToolNames:
    """The names by which a session's tools may be called; `recipients` are as the model is told of them."""

    def __init__(self, recipients: Iterable[str]) -> None:
        known = dict.fromkeys(recipients)
        if EXEC in known:
            known[PYTHON] = None
        self._spellings = {recipient: recipient for recipient in known}
        # What a tool is really called comes before what others are called elsewhere.
        for names in (_own_names, _other_names):
            for recipient in known:
                for name in names(recipient):
                    self._spellings.setdefault(name, recipient)
        for name, recipient in list(self._spellings.items()):
            if not name.startswith(f"{FUNCTIONS}."):
                self._spellings.setdefault(f"{FUNCTIONS}.{name}", recipient)
        self._meant: dict[str, str] = {}
        for name, recipient in self._spellings.items():
            self._meant.setdefault(_plain(name), recipient)

    def meant(self, written: str) -> str | None:
        """Return the recipient that `written` stands for, in any case, or None where there is no such tool."""
        return self._spellings.get(written) or self._meant.get(_plain(written))

    def spellings(self) -> list[tuple[str, str]]:
        """Return every spelling that a header may have, with the recipient it stands for; the told ones come first."""
        return list(self._spellings.items())


@cache
def trained() -> ToolNames:
    """Return the names of the tools that gpt-oss was trained on."""
    return ToolNames(_OTHER_NAMES)


def _own_names(recipient: str) -> Iterator[str]:
    """Yield a tool's name without its namespace, and with an underscore behind it, as other programs write it."""
    namespace, _, name = recipient.rpartition(".")
    if namespace == FUNCTIONS or recipient not in _OTHER_NAMES:
        yield recipient.removeprefix(f"{FUNCTIONS}.")
    else:
        yield from (name, f"{namespace}_{name}")


def _other_names(recipient: str) -> Iterator[str]:
    namespace = recipient.partition(".")[0]
    for name in _OTHER_NAMES.get(recipient, ()):
        yield from (name, f"{namespace}.{name}")


def _plain(name: str) -> str:
    return _FUNCTIONS.sub("", _JOINTS.sub("_", name.strip()).lower(), count=1)
