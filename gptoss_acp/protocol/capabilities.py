"""What the client has declared that it can do.

Knows the shape of ACP's `clientCapabilities`. Knows nothing about what is done with it, and importing it costs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_JETBRAINS = re.compile(
    r"(?i)jetbrains|intellij|\b(?:pycharm|webstorm|goland|clion|rider|rubymine|phpstorm|rustrover|android studio)\b"
)

_SHOWS_NAMES = re.compile(r"(?i)\bzed\b|agent-shell|jupyter|vscode")
"""Clients that show the name of each option of a question. Others, among them CodeCompanion and avante, show its kind:
of two of a kind they take the last, whichever the user has meant."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the client declared in `initialize`, or is known for; nothing before that."""

    read: bool = False
    write: bool = False
    terminal: bool = False
    terminal_auth: bool = False
    compaction: bool = False
    notices: bool = False
    forms: bool = False
    urls: bool = False
    insists_on_sign_in: bool = False
    tells_options_apart: bool = False

    @property
    def elicitation_modes(self) -> list[str]:
        """The modes of elicitations that it shows, as ACP and MCP call them."""
        return [mode for mode, is_shown in (("form", self.forms), ("url", self.urls)) if is_shown]

    @classmethod
    def declared(cls, params: Any) -> Capabilities:
        """Read them from the params of `initialize`, whatever shape these have."""
        capabilities = _object(_object(params).get("clientCapabilities"))
        files, session = _object(capabilities.get("fs")), _object(capabilities.get("session"))
        elicitation = _object(capabilities.get("elicitation"))
        client = str(_object(_object(params).get("clientInfo")))[:1000]
        jetbrains = bool(_JETBRAINS.search(client))
        return cls(
            read=files.get("readTextFile") is True,
            write=files.get("writeTextFile") is True,
            terminal=capabilities.get("terminal") is True,
            terminal_auth=_object(capabilities.get("auth")).get("terminal") is True
            or _object(capabilities.get("_meta")).get("terminal-auth") is True,
            compaction=isinstance(session.get("compaction"), dict),
            notices=isinstance(session.get("notices"), dict),
            forms=isinstance(elicitation.get("form"), dict),
            urls=isinstance(elicitation.get("url"), dict),
            insists_on_sign_in=jetbrains,
            tells_options_apart=jetbrains or bool(_SHOWS_NAMES.search(client)),
        )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
