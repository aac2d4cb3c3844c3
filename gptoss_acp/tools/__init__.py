"""What the model can call: the names, descriptions and argument schemas it is told of."""

from __future__ import annotations

import json
from importlib import resources

from gptoss_acp.harmony.render import FunctionTool


def descriptions() -> list[FunctionTool]:
    """Return the coding tools in the order in which the developer message lists them."""
    text = resources.files("gptoss_acp").joinpath("data", "prompt", "tools.json").read_text("utf-8")
    return [FunctionTool(**tool) for tool in json.loads(text)]


def run(recipient: str) -> str:
    """Run the tool that a call names and return its result for the model; failures are results too."""
    return f"Error: there is no tool {recipient[:100]}. No tools are available."
