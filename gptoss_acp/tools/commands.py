"""The tools that run commands, and code as one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.arguments import Arguments
from gptoss_acp.tools.call import Call, Result

DEFAULT_TIMEOUT_MS = 120_000
LONGEST_TIMEOUT_MS = 3_600_000
LEAST_TIMEOUT_MS = 1_000
"""A smaller number is meant in seconds, as gpt-oss gives it now and then."""


class Exec(Arguments):
    command: list[str] = Field(min_length=1)
    workdir: str | None = None
    timeout: float = Field(DEFAULT_TIMEOUT_MS, description="Milliseconds.", gt=0)

    @field_validator("command", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Take a line for a shell, which some models write instead of a list, as such."""
        return ["bash", "-lc", value] if isinstance(value, str) and value.strip() else value

    @property
    def seconds(self) -> float:
        milliseconds = self.timeout if self.timeout >= LEAST_TIMEOUT_MS else self.timeout * 1000
        return min(milliseconds, LONGEST_TIMEOUT_MS) / 1000


async def run(arguments: Exec, call: Call) -> Result:
    """Run a program, such as ["bash", "-lc", "ls | wc -l"], and return its exit code and output."""
    if Path(arguments.command[0]).name in {"apply_patch", "applypatch"}:
        raise ToolError("apply_patch is no program; call repo_browser.apply_patch with the patch")
    workdir = arguments.workdir or ""
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


def _line(command: list[str]) -> str:
    """Return a command as a person would type it; the script of a shell of the system's stands for itself."""
    if len(command) == 3 and command[0] in {"bash", "sh", "zsh"} and re.fullmatch(r"-\w*c", command[1]):
        return command[2]
    return shlex.join(command)


def _interpreter(cwd: Path) -> str:
    """Return the project's own Python where it has one, else what the user's PATH has."""
    own = (cwd / folder / "bin" / "python3" for folder in (".venv", "venv"))
    return next((str(path) for path in own if path.exists()), "python3")
