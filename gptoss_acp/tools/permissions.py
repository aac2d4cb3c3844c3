"""Who may do what: the modes, what each allows, what the user has allowed for the session.

Knows kinds of actions. Knows nothing about how they are done, nor how the user is asked.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gptoss_acp.tools.read_only_programs import reads_only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.settings import Mode
    from gptoss_acp.workspace.sandbox import Kind

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

_NAME = re.compile(r"[\s=,:;'\"|&<>()@]+")
"""What stands between the names in a script, an option or a list."""

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:=@%+,\-]+")


@dataclass(frozen=True, slots=True)
class Read:
    """Read what is at `path`: files, names, text. `inside`: in the session's roots, or where the model was sent."""

    path: Path
    inside: bool


@dataclass(frozen=True, slots=True)
class Edit:
    """Write, move or delete files.

    `outside`: those that are not in the session's roots, as the model wrote them; `protected`: the places that some of
    them are in, by name.
    """

    outside: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """Run a program with its arguments in the folder `cwd`, in a sandbox of that kind; maybe until the session ends."""

    command: tuple[str, ...]
    cwd: Path
    sandbox: Kind = "none"
    background: bool = False

    @property
    def confined(self) -> bool:
        return self.sandbox == "full"


@dataclass(frozen=True, slots=True)
class RunFreely:
    """Run outside the sandbox what has failed because of it."""

    command: tuple[str, ...]
    cwd: Path


@dataclass(frozen=True, slots=True)
class Use:
    """Call a tool of an MCP server. `reads_only`: the server says that it changes nothing, which nobody has checked."""

    tool: str
    reads_only: bool


Action = Read | Edit | Run | RunFreely | Use


@dataclass(frozen=True, slots=True)
class Allowed:
    """Go ahead."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not in this mode; `reason` is for the model."""

    reason: str


@dataclass(frozen=True, slots=True)
class CommandGrant:
    """What a user has allowed of commands: these `words`, or all that begin with or stand behind them, in a folder."""

    kind: Literal["exactly", "reading", "program", "background", "freely"]
    words: tuple[str, ...]
    cwd: Path

    def names(self, path: Path) -> bool:
        """Whether one of the words is, or has in it, the name of the resolved `path`."""
        parts = {part for word in self.words for part in (word, *_NAME.split(word)) if part and "\0" not in part}
        return any(Path(os.path.realpath(self.cwd / part)) == path for part in parts)


Grant = CommandGrant | tuple[str, object] | str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the user. `always` says what they would allow for the rest of the session, `grants` stand for it.

    `network`: they can also allow it this once with the network, from which it is else kept.
    """

    always: str
    grants: frozenset[Grant]
    network: bool = False


@dataclass(slots=True)
class Permissions:
    """The mode of a session and what its user has allowed; both end with it."""

    mode: Mode = "ask"
    _granted: set[Grant] = field(default_factory=set)

    def judge(self, action: Action) -> Allowed | Refused | Ask:
        verdict = self._judge(action)
        return Allowed() if isinstance(verdict, Ask) and verdict.grants <= self._granted else verdict

    def grant(self, ask: Ask) -> None:
        """Remember that the user has allowed what `ask.always` says."""
        self._granted |= ask.grants

    def note_changed(self, paths: Sequence[Path]) -> None:
        """End what was allowed of commands that name one of these files: they do something else now."""
        self._granted -= {
            grant
            for grant in self._granted
            if isinstance(grant, CommandGrant) and any(grant.names(path) for path in paths)
        }

    def _judge(self, action: Action) -> Allowed | Refused | Ask:
        match action:
            case Read():
                return self._judge_read(action)
            case Edit():
                return self._judge_edit(action)
            case Run():
                return self._judge_run(action)
            case RunFreely():
                return self._judge_run_freely(action)
            case Use():
                return self._judge_use(action)

    def _judge_read(self, action: Read) -> Allowed | Ask:
        if action.inside or self.mode == "full-access":
            return Allowed()
        return _ask("Always allow reading this in this session", ("read", action.path))

    def _judge_edit(self, action: Edit) -> Allowed | Refused | Ask:
        if self.mode == "full-access":
            return Allowed()
        if self.mode == "read-only":
            return Refused("the mode is read-only: no file may be changed")
        if action.outside:
            return Refused(f"{action.outside[0]} is outside the working directory and may not be changed")
        if action.protected:
            # What is written there is run or obeyed later, by git, an editor, a shell, without a question.
            places = ", ".join(action.protected)
            grants = [("edit", place) for place in action.protected]
            return _ask(f"Always allow edits in this session, also of {places}", "edit", *grants)
        return Allowed() if self.mode == "auto-edit" else _ask("Always allow edits in this session", "edit")

    def _judge_run(self, action: Run) -> Allowed | Refused | Ask:
        if self.mode == "full-access" or (self.mode == "auto-edit" and action.confined):
            return Allowed()
        if self.mode == "read-only" and not action.confined:
            return Refused("the mode is read-only: no command may be run")
        ask = self._run_always(action)
        return replace(ask, network=action.sandbox != "none" and self.mode != "read-only")

    def _run_always(self, action: Run) -> Ask:
        command, cwd = action.command, action.cwd
        if action.background:
            said = "Always allow exactly this command in the background, in this folder in this session"
            return _ask(said, CommandGrant("background", command, cwd))
        if words := reads_only(command, cwd):
            said = f"Always allow `{' '.join(words)}`, as far as it only reads, in this folder in this session"
            return _ask(said, CommandGrant("reading", words, cwd))
        if action.confined and (remembered := remembered_program(command)):
            said = f"Always allow `{' '.join(remembered)} …` in the sandbox and in this folder in this session"
            return _ask(said, CommandGrant("program", remembered, cwd))
        said = "Always allow exactly this command in this folder in this session"
        return _ask(said, CommandGrant("exactly", command, cwd))

    def _judge_run_freely(self, action: RunFreely) -> Allowed | Refused | Ask:
        if self.mode == "full-access":
            return Allowed()
        if self.mode == "read-only":
            return Refused("the mode is read-only: no command may be run outside the sandbox")
        said = "Always run exactly this command outside the sandbox in this folder in this session"
        return _ask(said, CommandGrant("freely", action.command, action.cwd))

    def _judge_use(self, action: Use) -> Allowed | Refused | Ask:
        # A server's word can cost a tool its permission, never give it one: what is called may leave this machine.
        if self.mode == "full-access":
            return Allowed()
        if self.mode == "read-only" and not action.reads_only:
            return Refused("the mode is read-only, and the MCP server does not say that this tool changes nothing")
        return _ask(f"Always allow {action.tool} in this session", ("use", action.tool))


def _ask(always: str, *grants: Grant) -> Ask:
    return Ask(always, frozenset(grants))


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
