"""What the model can call: the names, descriptions and argument schemas it is told of."""

from __future__ import annotations

from functools import cache

from gptoss_acp.harmony.render import FunctionTool
from gptoss_acp.tools.registry import CODING_TOOLS


@cache
def descriptions() -> list[FunctionTool]:
    """Return the coding tools in the order in which the developer message lists them."""
    return [tool.description for tool in CODING_TOOLS]
