"""What a script needs that the package itself does not: one of its extras."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def how_to_install(extra: str, *modules: str) -> str | None:
    """Return the command that installs an extra, None where all its modules are there."""
    if all(map(find_spec, modules)):
        return None
    return f"{sys.executable} -m pip install --constraint constraints.txt --editable '.[{extra}]'"
