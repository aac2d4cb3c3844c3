"""Who may do what: the modes, what each allows, what the user has allowed for the session.

Knows kinds of actions. Knows nothing about how they are done, nor how the user is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.settings import Mode

_SHELLS = {"sh", "bash", "zsh", "dash", "ksh", "fish", "csh", "tcsh", "pwsh", "powershell", "cmd", "busybox"}
_RUNNERS = _SHELLS | {
    *("env", "sudo", "doas", "su", "nohup", "nice", "ionice", "time", "timeout", "xargs", "parallel", "watch"),
    *("exec", "eval", "command", "builtin", "setsid", "stdbuf", "script", "ssh", "find", "awk", "sed", "strace"),
    *("npx", "bunx", "uvx", "pipx", "flock", "taskset", "chroot", "unshare", "tmux", "screen"),
}
_CARRYING_ARGUMENTS = {
    *("run", "exec", "dlx", "x", "tool", "eval", "compose"),
    *("bisect", "grep", "submodule", "difftool"),
}
"""First arguments with which well-known programs carry another program: `uv run`, `npm exec`, `git bisect`."""

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:=@%+,\-]+")


@dataclass(frozen=True, slots=True)
class Read:
    """Read what is at `path`: files, names, text."""

    path: Path
    inside: bool


@dataclass(frozen=True, slots=True)
class Edit:
    """Write, move or delete files. `outside`: those of them that are not in the session's roots."""

    paths: tuple[Path, ...]
    outside: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """Run a program with its arguments in the folder `cwd`."""

    command: tuple[str, ...]
    cwd: Path


@dataclass(frozen=True, slots=True)
class Use:
    """Call a tool of an MCP server. `reads_only`: the server says that it changes nothing, which nobody has checked."""

    tool: str
    reads_only: bool


Action = Read | Edit | Run | Use


@dataclass(frozen=True, slots=True)
class Allowed:
    """Go ahead."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not in this mode; `reason` is for the model."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the user. `always` says what they would allow for the rest of the session, `grant` stands for it."""

    always: str
    grant: object


@dataclass(slots=True)
class Permissions:
    """The mode of a session and what its user has allowed; both end with it."""

    mode: Mode = "ask"
    _granted: set[object] = field(default_factory=set)

    def judge(self, action: Action) -> Allowed | Refused | Ask:
        verdict = self._judge(action)
        return Allowed() if isinstance(verdict, Ask) and verdict.grant in self._granted else verdict

    def grant(self, ask: Ask) -> None:
        """Remember that the user has allowed what `ask.always` says."""
        self._granted |= {ask.grant, "edit"} if ask.grant == "edit .git" else {ask.grant}

    def _judge(self, action: Action) -> Allowed | Refused | Ask:
        match action:
            case Read():
                return self._judge_read(action)
            case Edit():
                return self._judge_edit(action)
            case Run():
                return self._judge_run(action)
            case Use():
                return self._judge_use(action)

    def _judge_read(self, action: Read) -> Allowed | Ask:
        if action.inside or self.mode == "full-access":
            return Allowed()
        return Ask(f"Always allow reading {action.path} in this session", ("read", action.path))

    def _judge_edit(self, action: Edit) -> Allowed | Refused | Ask:
        if self.mode == "full-access":
            return Allowed()
        if self.mode == "read-only":
            return Refused("the mode is read-only: no file may be changed")
        if action.outside:
            return Refused(f"{action.outside[0]} is outside the working directory and may not be changed")
        if any(part.casefold() == ".git" for path in action.paths for part in path.parts):
            # What is written there can run as a program at the next git command. Some file systems ignore case.
            return Ask("Always allow edits in this session, also in .git", "edit .git")
        return Allowed() if self.mode == "auto-edit" else Ask("Always allow edits in this session", "edit")

    def _judge_run(self, action: Run) -> Allowed | Refused | Ask:
        if self.mode == "full-access":
            return Allowed()
        if self.mode == "read-only":
            return Refused("the mode is read-only: no command may be run")
        if remembered := remembered_program(action.command):
            return Ask(f"Always allow `{' '.join(remembered)} …` in this session", ("run", remembered, action.cwd))
        return Ask("Always allow exactly this command in this session", ("run exactly", action.command, action.cwd))

    def _judge_use(self, action: Use) -> Allowed | Refused | Ask:
        # A server's word can cost a tool its permission, never give it one: what is called may leave this machine.
        if self.mode == "full-access":
            return Allowed()
        if self.mode == "read-only" and not action.reads_only:
            return Refused("the mode is read-only, and the MCP server does not say that this tool changes nothing")
        return Ask(f"Always allow {action.tool} in this session", ("use", action.tool))


def remembered_program(command: Sequence[str]) -> tuple[str, str] | None:
    """Return the program and first argument that "always" stands for, or None where it stands for this command alone.

    None for what is known to carry another program: shells and others that run one (`uv run`), a first argument that is
    an option (`python -c`, `git -c`), and words that mean something to a shell, for some terminals use one.
    """
    if len(command) < 2 or not all(_PLAIN_WORD.fullmatch(word) for word in command):
        return None
    program, argument = command[0], command[1]
    carries = Path(program).name.lower().rstrip("0123456789.") in _RUNNERS or argument in _CARRYING_ARGUMENTS
    if carries or argument.startswith("-") or "=" in program:
        return None
    return program, argument
