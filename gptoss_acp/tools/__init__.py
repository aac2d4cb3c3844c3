"""What the model can call: the names, descriptions and argument schemas it is told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gptoss_acp.tools.registry import CODING_TOOLS, Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.tool_description import ToolDescription


def descriptions(tools: Sequence[Tool] = CODING_TOOLS) -> list[ToolDescription]:
    """Return what the model is told of `tools`, in the order in which it is told."""
    return [tool.description for tool in tools]
