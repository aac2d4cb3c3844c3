"""Which variables a program run for the user gets: the user's own, less secrets and what is ours.

Also read by the launcher in an editor's terminal, and so quick to import. Knows names. Knows nothing about processes.
"""

from __future__ import annotations

import os
import shlex
from fnmatch import fnmatchcase

from gptoss_acp import ENVIRONMENT_PREFIX

_OURS = ("TIKTOKEN_ENCODINGS_BASE",)

SECRETS = (
    *("*_TOKEN", "*_TOKEN_*", "*_KEY", "*_KEY_ID", "*_SECRET", "*_SECRET_*", "*PASSWORD*", "*PASSWD*", "*_CREDENTIALS"),
    *("SSH_AUTH_SOCK", "SSH_AGENT_PID", "DBUS_*", "DOCKER_HOST"),
)
"""Names of what a command gets only where a setting says so: secrets, and ways to programs of the host's."""

_NOBODY = "echo 'there is nobody to type in an editor: give the text as an option, as git commit -m does' >&2; false"

UNATTENDED = {
    **dict.fromkeys(("PAGER", "GIT_PAGER", "MANPAGER"), "cat"),
    **dict.fromkeys(("EDITOR", "VISUAL", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR"), _NOBODY),
    "GIT_TERMINAL_PROMPT": "0",
}
"""What keeps programs from waiting for somebody at a terminal."""

GIT = {"safe.bareRepository": "explicit", "repack.updateServerInfo": "false"}
"""Settings of git's: a folder that only looks like a repository is none; what lies in `.git/info` is left alone."""

_LOGIN_OPTIONS = ("-lc", "-cl", "-lic", "-ilc")


def cleaned(variables: dict[str, str], passed: list[str]) -> dict[str, str]:
    """Return what of `variables` a command gets; `passed` are names, with `*` for any, of secrets that it gets too."""
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith(ENVIRONMENT_PREFIX)
        and name not in _OURS
        and (not _is_one_of(name.upper(), SECRETS) or _is_one_of(name, passed))
    }
    kept["PATH"] = os.pathsep.join(filter(os.path.isabs, kept.get("PATH", os.defpath).split(os.pathsep)))
    return {**kept, **UNATTENDED, **_git_settings(kept)}


def with_own_path(command: list[str], path: str) -> list[str]:
    """Return a login shell's command so that its start files do not take `path`, a virtual environment's say, away."""
    if len(command) == 3 and command[0].rpartition("/")[2] in {"bash", "sh", "zsh"} and command[1] in _LOGIN_OPTIONS:
        return [*command[:2], f"export PATH={shlex.quote(path)}; {command[2]}"]
    return command


def _is_one_of(name: str, patterns: tuple[str, ...] | list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _git_settings(variables: dict[str, str]) -> dict[str, str]:
    """Return the variables that add ours to git's settings (git-config, GIT_CONFIG_COUNT)."""
    count = variables.get("GIT_CONFIG_COUNT", "")
    first = int(count) if count.isascii() and count.isdecimal() else 0
    told = {"GIT_CONFIG_COUNT": str(first + len(GIT))}
    for number, (name, value) in enumerate(GIT.items(), first):
        told.update({f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value})
    return told
