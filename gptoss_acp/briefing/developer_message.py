"""What the model is told before a conversation: its work, how to use tools, and where it is.

Knows the prompt texts in briefing/texts. Knows nothing about Harmony, tokens or ACP.
"""

from __future__ import annotations

import os
import platform
from importlib import resources
from pathlib import Path
from typing import Literal

from gptoss_acp.briefing import git

ASK_IN_ANSWER = "ask in your answer."
ASK_BY_TOOL = "ask with functions.ask_user."


def compose(cwd: Path, *, has_tools: bool, asks_by_tool: bool = False) -> str:
    """Return the developer message's instructions for a session in `cwd`; no line break ends them."""
    told = _text("base") + _text("tools") if has_tools else _text("base")
    if asks_by_tool:
        told = told.replace(ASK_IN_ANSWER, ASK_BY_TOOL)
    return f"{told}\n{environment(cwd)}"


def environment(cwd: Path) -> str:
    """Return the lines that say where the agent works."""
    shell = Path(os.environ.get("SHELL", "/bin/sh")).name
    lines = f"Working directory: {cwd}\nOperating system: {platform.system()}\nShell: {shell}"
    branch = git.branch(cwd)
    return lines if branch is None else f"{lines}\nGit branch: {branch}"


def request(name: Literal["compact", "init", "title"]) -> str:
    """Return a message that the agent sends the model in the user's place."""
    return _text(name).strip()


def _text(name: str) -> str:
    return resources.files("gptoss_acp").joinpath("briefing", "texts", f"{name}.md").read_text("utf-8")
