"""The sandboxes that systems have, the best one first, and how each is spoken of.

Knows which there are. Knows nothing about sessions.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gptoss_acp.workspace import bubblewrap, landlock, seatbelt, supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gptoss_acp.workspace.view import Limits, View

NOT_SANDBOXED = "not sandboxed"
HOW_TO_GET_ONE = (
    "install bubblewrap, or allow it user namespaces"
    if sys.platform == "linux"
    else "sandbox-exec does not work here; the log says why"
    if sys.platform == "darwin"
    else "there is none for this system"
)
_NO_NETWORK = (
    *("Network is unreachable", "Network unreachable", "Temporary failure in name resolution", "EAI_AGAIN"),
    *("Could not resolve host", "Name or service not known", "No address associated with hostname"),
)
"""What programs say where there is no network (strerror, getaddrinfo)."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One system's sandbox.

    `words` are those before a command's own. `own_tmp`: the session's temporary folder is the commands' `/tmp`, else
    `$TMPDIR` alone says it. `joins`: what runs in it can be joined by commands that come later. `signs` are what
    programs say of what it has kept them from.
    """

    name: str
    kind: Literal["full", "partial"]
    words: Callable[[View, Path], list[str]]
    signs: tuple[str, ...]
    own_tmp: bool = False
    joins: bool = False

    def said(self, limits: Limits) -> str:
        """Return what holds within limits, in words for users."""
        temporary = "/tmp" if self.own_tmp else "$TMPDIR"  # noqa: S108 (a name)
        writes = "writes only in " + (f"the session's folders and {temporary}" if limits.writes else temporary)
        if self.kind == "full":
            return f"in a sandbox: {writes}, {'with the network' if limits.network else 'no network'}"
        network = "with the network" if limits.network else "no TCP"
        return f"in a partial sandbox ({self.name}): {writes}, {network}; all can be read, and in these folders written"


def find(roots: Sequence[Path]) -> Mechanism | None:
    """Return the best sandbox that works here for a session with these folders."""
    if program := bubblewrap.program(roots):
        words = functools.partial(bubblewrap.words, program)
        signs = ("Read-only file system", "EROFS", *_NO_NETWORK)
        return Mechanism("bubblewrap", "full", words, signs, own_tmp=True, joins=True)
    if seatbelt.works():
        return Mechanism("Seatbelt", "full", seatbelt.words, ("Operation not permitted", "EPERM", *_NO_NETWORK))
    if landlock.works():
        return Mechanism("Landlock", "partial", _landlocked, ("Permission denied", "EACCES"))
    return None


def _landlocked(view: View, cwd: Path) -> list[str]:
    writable = [str(path) for path in (view.temporary, *view.writable)]
    return supervisor.words(str(cwd), writable=writable, network=view.network)
