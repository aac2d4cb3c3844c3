"""What a request must hold to be carried out, and how it is answered if it does not.

Knows the SDK's schema, which is handed in once it is imported, and what the schema leaves open. Knows no session.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptoss_acp.rpc import INVALID_PARAMS, RpcError

if TYPE_CHECKING:
    from gptoss_acp.settings import Effort, Mode


def read(schema: Any, model: str, params: Any, within: Sequence[str] = ()) -> Any:
    """Return `params`, which stand `within` others, as the schema's `model`.

    Raises:
        RpcError: they are not; it names the wrong fields. So does every function here.
    """
    try:
        return getattr(schema, model).model_validate(params)
    except ValueError as error:
        raise RpcError(INVALID_PARAMS, "Invalid params", _problems(error, within)) from None


def mcp_servers(schema: Any, entries: Sequence[Any]) -> list[Any]:
    """Return the MCP servers of a request, each in its own type; the schema would skip wrong ones in silence."""
    return [_mcp_server(schema, entry, ("mcpServers", str(index))) for index, entry in enumerate(entries)]


def invalid(field: str, problem: str) -> RpcError:
    """Return the answer to a request with one wrong field."""
    return RpcError(INVALID_PARAMS, "Invalid params", [{"field": field, "problem": problem}])


def absolute(field: str, path: str) -> Path:
    if not Path(path).is_absolute():
        raise invalid(field, "an absolute path is required")
    return Path(path)


def folders(request: Any) -> dict[str, Any]:
    """Return the folders of a session that a request opens."""
    additional = [str(absolute("additionalDirectories", path)) for path in request.additional_directories or ()]
    return {"cwd": os.path.normpath(absolute("cwd", request.cwd)), "additional": tuple(additional)}


def mode(field: str, name: str) -> Mode:
    from gptoss_acp.settings import MODES, as_mode

    known = as_mode(name)
    if known is None:
        raise invalid(field, f"the modes are {', '.join(MODES)}")
    return known


def effort(field: str, name: str) -> Effort:
    from gptoss_acp.settings import EFFORTS, as_effort

    known = as_effort(name)
    if known is None:
        raise invalid(field, f"the efforts are {', '.join(EFFORTS)}")
    return known


def one_of(field: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise invalid(field, f"one of {', '.join(known)} is required")
    return value


def _mcp_server(schema: Any, entry: Any, within: Sequence[str]) -> Any:
    models = {"stdio": "McpServerStdio", "http": "HttpMcpServer", "sse": "SseMcpServer"}
    given = {"type": "stdio", "args": [], "env": [], "headers": []} | (entry if isinstance(entry, dict) else {})
    model = models.get(str(given["type"]))
    if model is None:
        raise invalid(".".join([*within, "type"]), f"one of {', '.join(models)} is required")
    return read(schema, model, given, within)


def _problems(error: ValueError, within: Sequence[str]) -> list[dict[str, str]]:
    # The first few suffice to mend a request, and bound the line however large the request was.
    details = error.errors(include_url=False, include_input=False) if hasattr(error, "errors") else []
    return [
        {"field": ".".join(str(part) for part in (*within, *detail["loc"]))[:200], "problem": detail["msg"][:200]}
        for detail in details[:10]
    ]
