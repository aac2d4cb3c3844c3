"""What a request must hold to be carried out, and how it is answered if it does not.

Knows the SDK's schema, and what that leaves open. Knows no session. Slow to import.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from acp.schema import HttpMcpServer, McpServerStdio, SseMcpServer
from pydantic import BaseModel, ValidationError

from gptoss_acp.rpc import INVALID_PARAMS, RpcError, invalid_params
from gptoss_acp.settings import EFFORTS, MODES, Effort, Mode, as_effort, as_mode
from gptoss_acp.text import LONGEST_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.protocol.requests import InFolders

Request = TypeVar("Request", bound=BaseModel)
McpServer = McpServerStdio | HttpMcpServer | SseMcpServer

_MCP_SERVERS: dict[str, type[McpServer]] = {"stdio": McpServerStdio, "http": HttpMcpServer, "sse": SseMcpServer}


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a session works: absolute paths, as the client spelt them but for `..`."""

    cwd: str
    additional: tuple[str, ...] = ()


def read(model: type[Request], params: Any, within: Sequence[str] = ()) -> Request:
    """Return `params`, which stand `within` others, as the schema's `model`.

    Raises:
        RpcError: they are not; it names the wrong fields. So does every function here.
    """
    try:
        return model.model_validate(params)
    except ValidationError as error:
        raise RpcError(INVALID_PARAMS, "Invalid params", _problems(error, within)) from None


def mcp_servers(entries: Sequence[Any]) -> list[McpServer]:
    """Return the MCP servers of a request, each in its own type; the schema would skip wrong ones in silence."""
    return [_mcp_server(entry, ("mcpServers", str(index))) for index, entry in enumerate(entries)]


def absolute(field: str, path: str) -> Path:
    if not Path(path).is_absolute():
        raise invalid_params(field, "an absolute path is required")
    if len(path.encode(errors="surrogatepass")) > LONGEST_PATH:
        raise invalid_params(field, f"the path is longer than {LONGEST_PATH:,} bytes")
    return Path(path)


def folders(request: InFolders) -> Folders:
    """Return the folders of a session that a request opens."""
    additional = tuple(str(absolute("additionalDirectories", path)) for path in request.additional_directories or ())
    return Folders(os.path.normpath(absolute("cwd", request.cwd)), additional)


def mode(field: str, name: str) -> Mode:
    known = as_mode(name)
    if known is None:
        raise invalid_params(field, f"the modes are {', '.join(MODES)}")
    return known


def effort(field: str, name: str) -> Effort:
    known = as_effort(name)
    if known is None:
        raise invalid_params(field, f"the efforts are {', '.join(EFFORTS)}")
    return known


def one_of(field: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise invalid_params(field, f"one of {', '.join(known)} is required")
    return value


def _mcp_server(entry: Any, within: Sequence[str]) -> McpServer:
    given = {"type": "stdio", "args": [], "env": [], "headers": []} | (entry if isinstance(entry, dict) else {})
    model = _MCP_SERVERS.get(str(given["type"]))
    if model is None:
        raise invalid_params(".".join([*within, "type"]), f"one of {', '.join(_MCP_SERVERS)} is required")
    return read(model, given, within)


def _problems(error: ValidationError, within: Sequence[str]) -> list[dict[str, str]]:
    # The first few suffice to mend a request, and bound the line however large the request was.
    return [
        {"field": ".".join(str(part) for part in (*within, *detail["loc"]))[:200], "problem": detail["msg"][:200]}
        for detail in error.errors(include_url=False, include_input=False)[:10]
    ]
