"""The Agent Client Protocol's requests, one method each: validate, find the session, answer.

Knows ACP (https://agentclientprotocol.com, version 1). Knows nothing about tokens or MLX.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptoss_acp import __version__
from gptoss_acp.rpc import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, Connection, Handler, RpcError

if TYPE_CHECKING:
    from gptoss_acp.engine.api import Engine
    from gptoss_acp.session import Session
    from gptoss_acp.settings import Mode, Settings
    from gptoss_acp.turn import Outcome, Trace
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
                "mcpCapabilities": {"http": False, "sse": False},
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
        # An agent that ignores MCP servers for now should not refuse a client that leaves them out.
        lenient = {"mcpServers": [], **params} if isinstance(params, dict) else params
        request = await self._validate("NewSessionRequest", lenient)
        cwd = _absolute("cwd", request.cwd)
        additional = [_absolute("additionalDirectories", path) for path in request.additional_directories or ()]
        await self._answering_failures(self._engine.check_available())
        session_id = str(uuid.uuid4())
        session = self._sessions[session_id] = self._new_session(cwd, additional, session_id)
        self._prepare_in_background(session)
        return {"sessionId": session_id, "modes": session.modes(), "configOptions": session.config_options()}

    async def prompt(self, params: Any) -> dict[str, Any]:
        request = await self._validate("PromptRequest", params)
        session = self._session(request.session_id)
        text = prompt_text(request.prompt)
        outcome: Outcome = await self._answering_failures(session.prompt(text))
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
        if request.config_id != "mode":
            raise _invalid("configId", "there is no such option")
        session.set_mode(_mode("value", request.value))
        self._updates(request.session_id).mode(session.mode)
        return {"configOptions": session.config_options()}

    async def cancel(self, params: Any) -> None:
        request = await self._validate("CancelNotification", params)
        self._session(request.session_id).cancel()

    def shut_down(self) -> None:
        """Cancel every turn."""
        for session in self._sessions.values():
            session.cancel()

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

    async def _validate(self, model: str, params: Any) -> Any:
        """Return `params` as the schema's `model`, or answer with the fields that are wrong."""
        if self._imports is None:
            raise RpcError(INVALID_REQUEST, "Invalid request: send initialize first")
        schema = await asyncio.shield(self._imports)
        try:
            return getattr(schema, model).model_validate(params)
        except ValueError as error:
            raise RpcError(INVALID_PARAMS, "Invalid params", _problems(error)) from None

    def _new_session(self, cwd: Path, additional: list[Path], session_id: str) -> Session:
        from gptoss_acp.session import Session
        from gptoss_acp.tools.client import Capabilities, Client
        from gptoss_acp.tools.paths import Roots
        from gptoss_acp.tools.workspace import Workspace

        assert self._connection is not None
        client = Client(self._connection, session_id, Capabilities.declared(self._initialize_params))
        workspace = Workspace(Roots(cwd, additional), client)
        updates = self._updates(session_id)
        return Session(workspace, self._engine, updates, self._settings, self._trace)

    def _updates(self, session_id: str) -> Updates:
        from gptoss_acp.updates import Updates

        assert self._connection is not None
        return Updates(self._connection, session_id)

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


def prompt_text(blocks: list[Any]) -> str:
    """Return a prompt's content blocks as one text: links as Markdown links, embedded files as fenced blocks.

    Raises:
        RpcError: a block is of a kind that the agent has not declared (`promptCapabilities`).
    """
    return "\n\n".join(_block_text(block, index) for index, block in enumerate(blocks))


def _block_text(block: Any, index: int) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type == "resource_link":
        return f"[{block.name}]({block.uri})"
    if block.type == "resource" and hasattr(block.resource, "text"):
        text = block.resource.text
        fence = "```"
        while fence in text:
            fence += "`"
        return f"{block.resource.uri}\n{fence}\n{text}\n{fence}"
    problem = {"field": f"prompt.{index}.type", "problem": "only text, links and embedded text can be read"}
    raise RpcError(INVALID_PARAMS, f"Content of type {block.type} is not supported", [problem])


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


def _problems(error: ValueError) -> list[dict[str, str]]:
    # The first few suffice to mend a request, and bound the line however large the request was.
    details = error.errors(include_url=False, include_input=False) if hasattr(error, "errors") else []
    return [
        {"field": ".".join(str(part) for part in detail["loc"])[:200], "problem": detail["msg"][:200]}
        for detail in details[:10]
    ]
