"""What is raised about patches."""

from __future__ import annotations

from gptoss_acp.errors import ToolError


class PatchError(ToolError):
    """The patch can't be read, or does not fit; the message tells the model where and why."""
