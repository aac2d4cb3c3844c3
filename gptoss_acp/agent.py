"""The Agent Client Protocol's requests, one method each: validate, find the session, answer.

Knows ACP (https://agentclientprotocol.com, version 1). Knows nothing about tokens or MLX.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptoss_acp import __version__
from gptoss_acp.rpc import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, Connection, Handler, RpcError

if TYPE_CHECKING:
    from gptoss_acp.engine.api import Engine, Trace
    from gptoss_acp.session import Session
    from gptoss_acp.settings import Effort, Mode, Settings
    from gptoss_acp.turn import Outcome
    from gptoss_acp.updates import Updates

log = logging.getLogger(__name__)

PROTOCOL_VERSION = 1
AUTH_REQUIRED = -32000
RESOURCE_NOT_FOUND = -32002
PREPARE_MODEL = "prepare-model"
SET_UP = "setup"


class Agent:
    """Every session of one client."""

    def __init__(self, engine: Engine, settings: Settings, trace: Trace | None = None) -> None:
        self._engine = engine
        self._settings = settings
        self._trace = trace
        self._sessions: dict[str, Session] = {}
        self._connection: Connection | None = None
        self._initialize_params: Any = None
        self._imports: asyncio.Task[Any] | None = None
        self._preparing: set[asyncio.Task[None]] = set()

    @property
    def requests(self) -> Mapping[str, Handler]:
        return {
            "initialize": self.initialize,
            "authenticate": self.authenticate,
            "session/new": self.new_session,
            "session/prompt": self.prompt,
            "session/set_mode": self.set_mode,
            "session/set_config_option": self.set_config_option,
        }

    @property
    def notifications(self) -> Mapping[str, Handler]:
        return {"session/cancel": self.cancel}

    def attach(self, connection: Connection) -> None:
        """Send updates through `connection`."""
        self._connection = connection

    async def initialize(self, params: Any) -> dict[str, Any]:
        # Answered without the schema: importing it takes a second, which an editor would wait for at every start.
        requested = params.get("protocolVersion") if isinstance(params, dict) else None
        if not isinstance(requested, int) or isinstance(requested, bool):
            raise _invalid("protocolVersion", "an integer is required")
        self._initialize_params = params
        if self._imports is None:
            self._imports = asyncio.create_task(self._import_slowly())
        return {
            "protocolVersion": PROTOCOL_VERSION,
            "agentInfo": {"name": "gptoss-acp", "title": "gpt-oss", "version": __version__},
            "agentCapabilities": {
                "loadSession": False,
                "promptCapabilities": {"image": False, "audio": False, "embeddedContext": True},
                "mcpCapabilities": {"http": True, "sse": True},
            },
            "authMethods": self._auth_methods(),
        }

    async def authenticate(self, params: Any) -> dict[str, Any]:
        request = await self._validate("AuthenticateRequest", params)
        if request.method_id != PREPARE_MODEL:
            raise _invalid("methodId", f"the only method that can be asked for is {PREPARE_MODEL}")
        from gptoss_acp.engine.api import EngineError

        try:
            await self._engine.download()
            await self._engine.load()
        except EngineError as error:
            # Not AUTH_REQUIRED, whatever is missing: that would ask for what has just been tried.
            raise RpcError(INTERNAL_ERROR, str(error)) from error
        return {}

    async def new_session(self, params: Any) -> dict[str, Any]:
        lenient = {"mcpServers": [], **params} if isinstance(params, dict) else params
        request = await self._validate("NewSessionRequest", lenient)
        cwd = _absolute("cwd", request.cwd)
        additional = [_absolute("additionalDirectories", path) for path in request.additional_directories or ()]
        servers = await self._mcp_servers(lenient["mcpServers"])
        await self._answering_failures(self._engine.check_available())
        session_id = str(uuid.uuid4())
        session = self._sessions[session_id] = self._new_session(cwd, additional, servers, session_id)
        self._prepare_in_background(session)
        # Runs once this method's answer is on its way, before which the client does not know the session.
        asyncio.get_running_loop().call_soon(session.advertise)
        return {"sessionId": session_id, "modes": session.modes(), "configOptions": session.config_options()}

    async def prompt(self, params: Any) -> dict[str, Any]:
        request = await self._validate("PromptRequest", params)
        from gptoss_acp import prompt  # once the background import is through: it needs the tools

        session = self._session(request.session_id)
        text = prompt.text(request.prompt, session.workspace.roots)
        attached = partial(prompt.attached, request.prompt, session.workspace)
        outcome: Outcome = await self._answering_failures(session.prompt(text, attached))
        return prompt_response(outcome)

    async def set_mode(self, params: Any) -> dict[str, Any]:
        request = await self._validate("SetSessionModeRequest", params)
        session = self._session(request.session_id)
        session.set_mode(_mode("modeId", request.mode_id))
        self._updates(request.session_id).config_options(session.config_options())
        return {}

    async def set_config_option(self, params: Any) -> dict[str, Any]:
        request = await self._validate("SetSessionConfigOptionSelectRequest", params)
        session = self._session(request.session_id)
        if request.config_id == "mode":
            session.set_mode(_mode("value", request.value))
            self._updates(request.session_id).mode(session.mode)
        elif request.config_id == "effort":
            session.set_effort(_effort("value", request.value))
        else:
            raise _invalid("configId", "there is no such option")
        return {"configOptions": session.config_options()}

    async def cancel(self, params: Any) -> None:
        request = await self._validate("CancelNotification", params)
        self._session(request.session_id).cancel()

    def shut_down(self) -> None:
        """Stop every session."""
        for session in self._sessions.values():
            session.close()

    # What the methods share

    def _auth_methods(self) -> list[dict[str, Any]]:
        """Return how the model can be made ready: by `authenticate`, and in a terminal where the client has one."""
        model = self._engine.model_name
        methods: list[dict[str, Any]] = [{"id": PREPARE_MODEL, **_preparation(model)}]
        if _runs_terminal_auth(self._initialize_params):
            methods.append(
                {
                    "id": SET_UP,
                    "type": "terminal",
                    "name": "Set up in a terminal",
                    "description": "Choose a model that fits this machine, download it and try it.",
                    # Added to the arguments that started us; older clients put them in their place.
                    "args": ["--model", model, "setup"],
                }
            )
        return methods

    async def _import_slowly(self) -> Any:
        schema = await asyncio.to_thread(importlib.import_module, "acp.schema")
        await asyncio.to_thread(importlib.import_module, "gptoss_acp.session")
        self._engine.start()
        return schema

    async def _validate(self, model: str, params: Any, within: Sequence[str] = ()) -> Any:
        """Return `params`, which stand `within` others, as the schema's `model`, or answer with the wrong fields."""
        if self._imports is None:
            raise RpcError(INVALID_REQUEST, "Invalid request: send initialize first")
        schema = await asyncio.shield(self._imports)
        try:
            return getattr(schema, model).model_validate(params)
        except ValueError as error:
            raise RpcError(INVALID_PARAMS, "Invalid params", _problems(error, within)) from None

    async def _mcp_servers(self, entries: list[Any]) -> list[Any]:
        """Return the MCP servers of a request, each in its own type; the schema would skip wrong ones in silence."""
        return [await self._mcp_server(entry, ("mcpServers", str(index))) for index, entry in enumerate(entries)]

    async def _mcp_server(self, entry: Any, within: Sequence[str]) -> Any:
        models = {"stdio": "McpServerStdio", "http": "HttpMcpServer", "sse": "SseMcpServer"}
        given = {"type": "stdio", "args": [], "env": [], "headers": []} | (entry if isinstance(entry, dict) else {})
        model = models.get(str(given["type"]))
        if model is None:
            raise _invalid(".".join([*within, "type"]), f"one of {', '.join(models)} is required")
        return await self._validate(model, given, within)

    def _new_session(self, cwd: Path, additional: list[Path], servers: list[Any], session_id: str) -> Session:
        from gptoss_acp.session import Session
        from gptoss_acp.tools.client import Capabilities, Client
        from gptoss_acp.tools.paths import Roots
        from gptoss_acp.tools.workspace import Workspace

        assert self._connection is not None
        client = Client(self._connection, session_id, Capabilities.declared(self._initialize_params))
        workspace = Workspace(Roots(cwd, additional), client)
        updates = self._updates(session_id)
        return Session(workspace, self._engine, updates, self._settings, self._trace, mcp_servers=servers)

    def _updates(self, session_id: str) -> Updates:
        from gptoss_acp.tools.client import Capabilities
        from gptoss_acp.updates import Updates

        assert self._connection is not None
        shows_compaction = Capabilities.declared(self._initialize_params).compaction
        return Updates(self._connection, session_id, shows_compaction=shows_compaction)

    def _session(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise RpcError(RESOURCE_NOT_FOUND, f"There is no session {session_id[:100]}")
        return session

    def _prepare_in_background(self, session: Session) -> None:
        async def prepare() -> None:
            try:
                await session.prepare()
            except Exception:
                log.warning("the model is not loaded; the first prompt will say why", exc_info=True)

        task = asyncio.create_task(prepare())
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def _answering_failures(self, work: Any) -> Any:
        from gptoss_acp.engine.api import EngineError, ModelMissingError

        try:
            return await work
        except ModelMissingError as error:
            methods = self._auth_methods()
            download = f"Authenticate with '{methods[0]['name']}', or choose" if error.downloadable else "Choose"
            message = f"{error} {download} another with --model."
            raise RpcError(AUTH_REQUIRED, message, {"authMethods": methods}) from error
        except EngineError as error:
            raise RpcError(INTERNAL_ERROR, str(error)) from error


def _invalid(field: str, problem: str) -> RpcError:
    return RpcError(INVALID_PARAMS, "Invalid params", [{"field": field, "problem": problem}])


def _preparation(model: str) -> dict[str, str]:
    """Return name and description of the method that prepares the model."""
    from gptoss_acp.engine import checkpoints

    name = checkpoints.short_name(model)
    if not checkpoints.is_repository(model):
        return {"name": f"Load {name}", "description": "Load the model, to see that it works."}
    size = checkpoints.DOWNLOAD_GB.get(model)
    return {
        "name": f"Download {name} ({size} GB)" if size else f"Download {name}",
        "description": f"Download {model} from Hugging Face if it is not on this machine yet, and load it.",
    }


def _runs_terminal_auth(initialize_params: Any) -> bool:
    """Whether the client has declared `auth.terminal`, whatever shape its params have."""
    value = initialize_params
    for key in ("clientCapabilities", "auth", "terminal"):
        value = value.get(key) if isinstance(value, dict) else None
    return value is True


def _absolute(field: str, path: str) -> Path:
    if not Path(path).is_absolute():
        raise _invalid(field, "an absolute path is required")
    return Path(path)


def _mode(field: str, name: str) -> Mode:
    from gptoss_acp.tools.permissions import MODES, as_mode

    mode = as_mode(name)
    if mode is None:
        raise _invalid(field, f"the modes are {', '.join(MODES)}")
    return mode


def _effort(field: str, name: str) -> Effort:
    from gptoss_acp.commands import EFFORTS, as_effort

    effort = as_effort(name)
    if effort is None:
        raise _invalid(field, f"the efforts are {', '.join(EFFORTS)}")
    return effort


def prompt_response(outcome: Outcome) -> dict[str, Any]:
    """Return the answer to `session/prompt`; times in `_meta` are milliseconds."""
    meta: dict[str, Any] = {
        "timeToFirstTokenMs": _milliseconds(outcome.first_token_seconds),
        "timeToFirstVisibleTokenMs": _milliseconds(outcome.first_visible_seconds),
        "tokensPerSecond": outcome.tokens_per_second and round(outcome.tokens_per_second, 2),
    }
    if outcome.notice:
        meta["notice"] = outcome.notice
    return {
        "stopReason": outcome.stop_reason,
        "usage": {
            "inputTokens": outcome.input_tokens,
            "outputTokens": outcome.output_tokens,
            "totalTokens": outcome.input_tokens + outcome.output_tokens,
            "thoughtTokens": outcome.thought_tokens,
            "cachedReadTokens": outcome.cached_tokens,
        },
        "_meta": {"gptoss-acp": meta},
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _problems(error: ValueError, within: Sequence[str]) -> list[dict[str, str]]:
    # The first few suffice to mend a request, and bound the line however large the request was.
    details = error.errors(include_url=False, include_input=False) if hasattr(error, "errors") else []
    return [
        {"field": ".".join(str(part) for part in (*within, *detail["loc"]))[:200], "problem": detail["msg"][:200]}
        for detail in details[:10]
    ]
