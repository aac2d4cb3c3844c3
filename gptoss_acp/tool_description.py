"""A tool as the model is told of it. Knows nothing about how it is told, nor what the tool does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

FUNCTIONS = "functions"
"""The namespace of the tools that gpt-oss does not know from its training (openai/harmony, docs/format.md)."""

_TOOL_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


@dataclass(frozen=True)
class ToolDescription:
    """A tool as the model is told of it; `parameters` is a JSON schema.

    Those in the namespace `functions` are told in the developer message, others in the system message.

    Raises:
        ValueError: the name could not stand in a header, where the model has to write it.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    namespace: str = FUNCTIONS

    @property
    def recipient(self) -> str:
        """What the model writes in a header to call it."""
        return f"{self.namespace}.{self.name}"

    def __post_init__(self) -> None:
        if not _TOOL_NAME.fullmatch(self.name):
            raise ValueError(
                f"a tool can't be called {self.name!r}: letters, digits, `_`, `-` and `.` only, 100 at most"
            )
