"""The environment of a program run for the user, also where the editor was started from a desktop and has little.

Knows the login shell. Knows nothing about which variables are secret.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from functools import cache
from typing import TYPE_CHECKING

from gptoss_acp.workspace import variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOGIN_SHELL_SECONDS = 5.0


async def environment(passed: Sequence[str] = ()) -> dict[str, str]:
    """Return what a command finds in its environment; `passed` are names of secrets that it gets too.

    An editor started from a desktop has a minimal environment; then what the user's login shell sets up is added.
    """
    own = dict(os.environ)
    if started_from_desktop(own):
        login = await asyncio.to_thread(login_shell_variables, own.get("SHELL", "/bin/sh"))
        own = {**login, **own, "PATH": _joined(login.get("PATH", ""), own.get("PATH", os.defpath))}
    return variables.cleaned(own, list(passed))


def started_from_desktop(own: Mapping[str, str]) -> bool:
    """Whether no shell is among those who started us: each sets SHLVL, each terminal TERM."""
    return "SHLVL" not in own and "TERM" not in own


@cache
def login_shell_variables(shell: str) -> dict[str, str]:
    """Return what the user's shell sets up for a terminal, nothing where it can't be had."""
    try:
        finished = subprocess.run(  # noqa: S603 (the user's own shell)
            [shell, "-l", "-i", "-c", "env -0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_LOGIN_SHELL_SECONDS,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    # What start files print comes first, and so is a part of the first name.
    told = os.fsdecode(finished.stdout).split("\0")
    parts = [variable.rpartition("\n")[2] if index == 0 else variable for index, variable in enumerate(told)]
    return {name: value for name, sign, value in (part.partition("=") for part in parts) if sign and name}


def _joined(*lists: str) -> str:
    folders = [folder for one in lists for folder in one.split(os.pathsep) if folder]
    return os.pathsep.join(dict.fromkeys(folders))
