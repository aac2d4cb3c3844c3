"""The tool that runs commands."""

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


class Shell(Arguments):
    command: list[str] = Field(
        description='Program and arguments, such as ["bash", "-lc", "ls | wc -l"].', min_length=1
    )
    workdir: str = Field(".", description="Directory to run it in.")
    timeout_ms: int = Field(DEFAULT_TIMEOUT_MS, description="Time limit in milliseconds.", ge=1)

    @field_validator("command", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Take a line for a shell, which some models write instead of a list, as such."""
        return ["bash", "-lc", value] if isinstance(value, str) and value.strip() else value


async def shell(arguments: Shell, call: Call) -> Result:
    """Run a program and return its exit code and output."""
    if Path(arguments.command[0]).name in {"apply_patch", "applypatch"}:
        raise ToolError("apply_patch is no program; call functions.apply_patch with the patch as its argument")
    call.describe_command(_line(arguments.command), arguments.workdir)
    seconds = min(arguments.timeout_ms, LONGEST_TIMEOUT_MS) / 1000
    finished = await call.run(arguments.command, arguments.workdir, seconds)
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
