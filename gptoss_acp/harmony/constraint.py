"""What the model may write, as a value: well-formed messages, and calls of the tools that there are.

Knows tools' names and schemas. Knows nothing about grammars: what enforces this is in `header_grammar`, and needs MLX.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.tool_description import ToolDescription


@dataclass(frozen=True, slots=True)
class Constraint:
    """Calls of `tools` only: the recipient of each, and the JSON schema of its arguments, None where text is free."""

    tools: tuple[tuple[str, str | None], ...] = ()


def constraint_to(tools: Sequence[ToolDescription]) -> Constraint:
    """Return the constraint of a session that has `tools`; the same tools give equal ones."""
    return Constraint(tuple((tool.recipient, _argument_schema(tool)) for tool in tools))


def _argument_schema(tool: ToolDescription) -> str | None:
    """Return the schema to hold the arguments to, or None for free text."""
    return json.dumps(tool.parameters) if tool.parameters.get("type") == "object" else None
