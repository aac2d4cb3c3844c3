"""The tools that run commands, and code as one."""

from __future__ import annotations

import re
import shlex
import signal
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from gptoss_acp.tools.apply_patch import apply_patch_in
from gptoss_acp.tools.arguments import Arguments, as_number
from gptoss_acp.tools.call import Call, Result
from gptoss_acp.tools.command_words import LOGIN_SHELL, as_words
from gptoss_acp.tools.patch.in_command import patch_in
from gptoss_acp.tools.patch.wrapping import BEGIN
from gptoss_acp.workspace.process import WAITED

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_TIMEOUT_MS = 120_000
LONGEST_TIMEOUT_MS = 3_600_000
LEAST_TIMEOUT_MS = 1_000
"""A smaller number is meant in seconds, as gpt-oss gives it now and then."""

_WORDS = ("args", "arguments", "argv")
"""How the words behind a program are called beside it."""

_IN_SECONDS = ("timeout_seconds", "timeout_secs", "timeout_sec", "timeout_s", "max_seconds", "seconds")


_LONGEST_QUESTION = 200
_CHOICE = r"[\[(][a-z]{1,3}(?:[/|][a-z]{1,3}){0,4}[\])]:?"
_QUESTION = re.compile(rf"(?i)(?:[?:>][ \t]|\?|{_CHOICE}\n?|press .{{1,40}}|password.{{0,40}})[ \t]{{0,9}}\Z")
"""How programs end a line in which they wait for an answer."""

_NOBODY_TYPES = (
    "It seems to have waited for input, and nobody types: give the answers as arguments, by a pipe, or with an option "
    "such as --yes."
)


class Exec(Arguments):
    command: list[str] = Field(min_length=1)
    workdir: str | None = None
    timeout: float = Field(DEFAULT_TIMEOUT_MS, description="Milliseconds.", gt=0)
    background: bool = Field(default=False, description="For servers: go on while other commands run.")

    bare: ClassVar = "command"
    listed: ClassVar = "command"
    untold: ClassVar = (*_WORDS, *_IN_SECONDS)

    @classmethod
    def as_meant(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Take a line, and a list that only makes sense to a shell, for what a shell shall run; seconds for a time."""
        meant = {name: value for name, value in given.items() if name not in cls.untold}
        seconds = next((as_number(given[name]) for name in _IN_SECONDS if name in given), None)
        if seconds is not None and "timeout" not in meant:
            meant["timeout"] = max(seconds * 1000, LEAST_TIMEOUT_MS)
        if (limit := as_number(meant.get("timeout"))) is not None and limit <= 0:
            del meant["timeout"]
        if "command" in given:
            arguments = next((given[name] for name in _WORDS if given.get(name)), None)
            meant["command"] = _words(given["command"], arguments)
        return meant

    @property
    def seconds(self) -> float:
        milliseconds = self.timeout if self.timeout >= LEAST_TIMEOUT_MS else self.timeout * 1000
        return min(milliseconds, LONGEST_TIMEOUT_MS) / 1000


async def run(arguments: Exec, call: Call) -> Result:
    """Run a program, such as ["bash", "-lc", "ls | wc -l"], and return its exit code and output."""
    workdir = arguments.workdir or ""
    if patch := patch_in(arguments.command, workdir):
        return Result(await apply_patch_in(patch.folder, patch.text, call))
    line = _line(arguments.command)
    call.describe_command(line)
    if arguments.background:
        return await _start(line, arguments.command, workdir, call)
    return await _carry_out(arguments.command, workdir, arguments.seconds, call)


async def python(code: str, call: Call) -> Result:
    """Run Python code, as a program of its own each time."""
    call.describe_command(code, language="python")
    return await _carry_out([_interpreter(call.workspace.roots.cwd), "-c", code], "", DEFAULT_TIMEOUT_MS / 1000, call)


async def _start(line: str, command: list[str], workdir: str, call: Call) -> Result:
    program = await call.start(line, command, workdir)
    log = call.workspace.roots.shown(program.log)
    output = str(program.output)
    call.show_output(output)
    raw = {"exitCode": program.code, "output": output}
    if program.code is not None:
        return Result(f"Exit code: {program.code}\nOutput:\n{output}", raw, failed=program.code != 0)
    text = (
        f"It runs in the background as number {program.number}, until it ends by itself, by kill or with the session.\n"
        f"All its output goes to {log}; so far:\n{output}"
    )
    return Result(text, raw)


async def _carry_out(command: list[str], workdir: str, seconds: float, call: Call) -> Result:
    finished = await call.run(command, workdir, seconds)
    raw = {"exitCode": finished.code, "output": finished.output}
    if finished.code is None:
        problem = f"Error: timed out after {seconds:g} seconds; the command was stopped."
        if _asks(finished.output):
            problem += f" {_NOBODY_TYPES}"
        output = f" Output so far:\n{finished.output}" if finished.output else ""
        return Result(f"{problem}{output}", raw, failed=True)
    text = f"Exit code: {finished.code}{_signal(finished.code)}\nOutput:\n{finished.output}"
    return Result(text, raw, failed=finished.code != 0)


def _asks(output: str) -> bool:
    """Whether a program seems to have waited for input: what it has written ends with a question, in its last line."""
    return output.endswith(WAITED) or bool(_QUESTION.search(output[-_LONGEST_QUESTION:]))


def _signal(code: int) -> str:
    """Return what a code above 128 stands for: a signal that has ended the program, as a shell says it too."""
    try:
        return f" (killed by {signal.Signals(code - 128).name})" if code > 128 else ""
    except ValueError:
        return ""


def _words(command: Any, arguments: Any) -> Any:
    """Return what is meant by a command and, given beside it, its arguments."""
    if arguments and isinstance(command, str | list):
        words = [command] if isinstance(command, str) else command
        if isinstance(arguments, list):
            command = [*words, *arguments]
        else:
            command = f"{words[0] if len(words) == 1 else shlex.join(map(str, words))} {arguments}"
    if isinstance(command, list) and str(next(iter(command), "")).lstrip().startswith(BEGIN):
        command = "\n".join(map(str, command))
    return as_words(command)


def _line(command: list[str]) -> str:
    """Return a command as a person would type it; what a login shell runs, as nearly every command, for itself."""
    if len(command) == 3 and command[:2] == LOGIN_SHELL:
        return command[2]
    return shlex.join(command)


def _interpreter(cwd: Path) -> str:
    """Return the project's own Python where it has one, else what the user's PATH has."""
    own = (cwd / folder / "bin" / "python3" for folder in (".venv", "venv"))
    return next((str(path) for path in own if path.exists()), "python3")
