"""A session for a person or a script at this terminal: the same as an editor's, in this process.

Knows how the rooms of an agent are put together. Knows nothing about how anything is shown.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptoss_acp.cli.serve import make_engine, make_trace
from gptoss_acp.errors import ToolError
from gptoss_acp.open_sessions import OpenSessions
from gptoss_acp.protocol import params
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.protocol.params import Folders
from gptoss_acp.rpc import RpcError
from gptoss_acp.store import Store
from gptoss_acp.text import as_sentence

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence

    from gptoss_acp.engine.api import Engine
    from gptoss_acp.protocol.face import Answered, Face
    from gptoss_acp.protocol.params import McpServer
    from gptoss_acp.protocol.shapes import Elicitation
    from gptoss_acp.session import Session
    from gptoss_acp.settings import Settings
    from gptoss_acp.store import Info
    from gptoss_acp.turn import Outcome, StopReason


_ENDS: dict[StopReason, str] = {
    "max_tokens": "The model was cut short: --max-tokens, or what the context holds, was used up.",
    "max_turn_requests": "The turn was ended: it took as many model calls as --max-turn-requests allows.",
    "refusal": "The model has refused.",
    "cancelled": "Cancelled.",
}


class Faceless:
    """What every face at a terminal has in common: no files and no terminals of its own, and it reads at once."""

    capabilities = Capabilities(tells_options_apart=True)
    congested = False
    longest_write = 0

    async def drain(self) -> None:
        """Return at once."""

    async def elicit(self, elicitation: Elicitation) -> Answered:
        raise ToolError(f"nobody can be asked: {elicitation['message'][:200]}")

    async def read_text_file(self, path: Path) -> str:
        raise ToolError(f"{path} is not open in an editor")

    async def write_text_file(self, path: Path, text: str) -> None:
        raise ToolError(f"{path} can't be given {len(text)} characters: there is no editor")

    async def run_in_terminal(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],  # noqa: ARG002 (a face has them)
        *,
        on_terminal: Callable[[str], None],  # noqa: ARG002
        on_output: Callable[[str], None],  # noqa: ARG002
    ) -> int:
        raise ToolError(f"{command[0]} can't be run in {cwd}: there is no terminal of an editor's")


def folders(given: argparse.Namespace, stored: Info | None = None) -> Folders:
    """Return where a session is to work: in the folder of `--cwd`, else where the `stored` one has worked, else here.

    Raises:
        ValueError: there is no such folder.
    """
    cwd = stored.cwd if stored and not given.cwd else os.path.realpath(given.cwd)
    if not os.path.isdir(cwd):  # noqa: PTH112 (Path's raises for a name that is too long)
        hint = "" if given.cwd else ", where the session has worked; --cwd names another"
        raise ValueError(f"{given.cwd or cwd} is no folder{hint}")
    return Folders(cwd, stored.additional if stored else ())


def mcp_servers(given: argparse.Namespace) -> list[McpServer]:
    """Return the MCP servers that a session is to have, as the file of `--mcp` describes them.

    Raises:
        ValueError: the file can't be read, or is not as it should be.
    """
    if given.mcp is None:
        return []
    try:
        described = json.loads(Path(given.mcp).read_text("utf-8"))["mcpServers"]
        return params.mcp_servers([_entry(name, server) for name, server in described.items()])
    except RpcError as error:
        raise ValueError(f"{given.mcp}: {error.message}: {error.data}") from None
    except OSError as error:
        raise ValueError(f"{given.mcp}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f'{given.mcp} is not JSON of the form {{"mcpServers": {{NAME: {{...}}}}}}') from None


def _entry(name: str, server: dict[str, Any]) -> dict[str, Any]:
    """Return a server as ACP describes it: with variables and headers as lists."""
    lists = {
        field: [{"name": key, "value": value} for key, value in server[field].items()]
        for field in ("env", "headers")
        if isinstance(server.get(field), dict)
    }
    kind = {"type": "http"} if "url" in server and "type" not in server else {}
    return {**kind, **server, **lists, "name": name}


@contextlib.asynccontextmanager
async def opened(
    chosen: Settings,
    face: Face,
    folders: Folders,
    servers: Sequence[McpServer] = (),
    *,
    stored: str | None = None,
    flags: Container[str] = (),
) -> AsyncIterator[Session]:
    """Open a session, a new one or one that is `stored`, which is shown again; it ends with the context.

    Of what is chosen, that holds for a stored one which a flag has named; `flags` are the names of these.

    Raises:
        EngineError: the model is not here.
        StoreError: the sessions can't be read, or the one is not there or open elsewhere.
    """
    engine = make_engine(chosen)
    sessions = OpenSessions(Store(), engine, chosen, lambda _id, _capabilities: face, make_trace(chosen))
    await sessions.begin_all()
    engine.start()
    try:
        if stored is None:
            session = await sessions.begin(folders, servers)
        else:
            session = await sessions.reopen(stored, folders, servers, replay=True)
            _set(session, chosen, engine, flags)
        try:
            if problem := sessions.take_problem():
                session.tell(as_sentence(problem))
            yield session
        finally:
            await sessions.close(session.id)
    finally:
        await sessions.let_go()
        engine.close()


def _set(session: Session, chosen: Settings, engine: Engine, flags: Container[str]) -> None:
    if "mode" in flags:
        session.set_mode(chosen.mode)
    if "effort" in flags:
        session.set_effort(chosen.effort)
    if "model" in flags:
        session.set_model(engine)


def how_it_ended(outcome: Outcome) -> str | None:
    """Return what a person is told of the end of a turn, None where that has ended as it should."""
    return outcome.notice or _ENDS.get(outcome.stop_reason)
