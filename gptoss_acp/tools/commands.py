"""The tools that run commands, and code as one."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from gptoss_acp.tools.apply_patch import apply_patch_in
from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.tools.call import Call, Result
from gptoss_acp.tools.patch.in_command import patch_in

DEFAULT_TIMEOUT_MS = 120_000
LONGEST_TIMEOUT_MS = 3_600_000
if TYPE_CHECKING:
    from pathlib import Path

_SHELL = ("bash", "-lc")
_RUNS_SCRIPT = re.compile(r"-\w{0,10}c")
_OPERATORS = {"|", "||", "&&", ">", ">>", "<", "2>", "2>>", "2>&1", "&>", "2>/dev/null", ">/dev/null"}
_NEEDS_QUOTES = re.compile(r"[\s'\"()]")

LEAST_TIMEOUT_MS = 1_000
"""A smaller number is meant in seconds, as gpt-oss gives it now and then."""


class Exec(Arguments):
    command: list[str] = Field(min_length=1)
    workdir: str | None = None
    timeout: float = Field(DEFAULT_TIMEOUT_MS, description="Milliseconds.", gt=0)

    bare: ClassVar = "command"

    @classmethod
    def as_meant(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Take a line, and a list that holds one or only makes sense to a shell, for what a shell shall run."""
        command = given.get("command")
        if isinstance(command, str) and command.lstrip().startswith("["):
            with contextlib.suppress(ValueError, RecursionError):
                command = json.loads(command, strict=False)
        if isinstance(command, str) and command.strip():
            command = [*_SHELL, command]
        elif isinstance(command, list) and command and all(isinstance(word, str) for word in command):
            command = _for_a_shell(command)
        return given | {"command": command} if "command" in given else given

    @property
    def seconds(self) -> float:
        milliseconds = self.timeout if self.timeout >= LEAST_TIMEOUT_MS else self.timeout * 1000
        return min(milliseconds, LONGEST_TIMEOUT_MS) / 1000


async def run(arguments: Exec, call: Call) -> Result:
    """Run a program, such as ["bash", "-lc", "ls | wc -l"], and return its exit code and output."""
    workdir = arguments.workdir or ""
    if patch := patch_in(arguments.command, workdir):
        return Result(await apply_patch_in(patch.folder, patch.text, call))
    call.describe_command(_line(arguments.command), workdir)
    return await _carry_out(arguments.command, workdir, arguments.seconds, call)


async def python(code: str, call: Call) -> Result:
    """Run Python code, as a program of its own each time."""
    call.describe_command(code, "", language="python")
    return await _carry_out([_interpreter(call.workspace.roots.cwd), "-c", code], "", DEFAULT_TIMEOUT_MS / 1000, call)


async def _carry_out(command: list[str], workdir: str, seconds: float, call: Call) -> Result:
    finished = await call.run(command, workdir, seconds)
    raw = {"exitCode": finished.code, "output": finished.output}
    if finished.code is None:
        output = f" Output so far:\n{finished.output}" if finished.output else ""
        return Result(f"Error: timed out after {seconds:g} seconds; the command was stopped.{output}", raw, failed=True)
    text = f"Exit code: {finished.code}\nOutput:\n{finished.output}"
    return Result(text, raw, failed=finished.code != 0)


def _for_a_shell(command: list[str]) -> list[str]:
    if len(command) == 1 and " " in command[0].strip():
        return [*_SHELL, command[0]]
    if not _OPERATORS.intersection(command[1:]):
        return command
    script = _is_shell(command)
    words = command[2:] if script else command
    line = " ".join(
        word if word in _OPERATORS or not _NEEDS_QUOTES.search(word) else shlex.quote(word) for word in words
    )
    return [*command[:2], line] if script else [*_SHELL, line]


def _is_shell(command: list[str]) -> bool:
    return len(command) > 2 and command[0] in {"bash", "sh", "zsh"} and bool(_RUNS_SCRIPT.fullmatch(command[1]))


def _line(command: list[str]) -> str:
    """Return a command as a person would type it; the script of a shell of the system's stands for itself."""
    if len(command) == 3 and _is_shell(command):
        return command[2]
    return shlex.join(command)


def _interpreter(cwd: Path) -> str:
    """Return the project's own Python where it has one, else what the user's PATH has."""
    own = (cwd / folder / "bin" / "python3" for folder in (".venv", "venv"))
    return next((str(path) for path in own if path.exists()), "python3")
