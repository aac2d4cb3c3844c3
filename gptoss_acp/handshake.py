"""The first words with a client: `initialize`, what each side can do, and getting the model ready (`authenticate`).

Everything else is the agent's, which is imported in the background meanwhile: it takes a second, and a client waits for
the answer to `initialize` at every start. So this room imports nothing slow, and knows no session.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from gptoss_acp import __version__, config_file
from gptoss_acp.engine.api import Engine, EngineError, ModelMissingError, Trace
from gptoss_acp.protocol import authentication
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.rpc import INTERNAL_ERROR, INVALID_REQUEST, Connection, Handler, RpcError, invalid_params

if TYPE_CHECKING:
    from gptoss_acp.agent import Agent
    from gptoss_acp.settings import Settings

log = logging.getLogger(__name__)

PROTOCOL_VERSION = 1

SESSION_REQUESTS = (
    *("session/new", "session/load", "session/resume", "session/fork"),
    *("session/list", "session/close", "session/delete"),
    *("session/prompt", "session/set_mode", "session/set_config_option"),
)
SESSION_NOTIFICATIONS = ("session/cancel",)


class Handshake:
    """Answers a client until there is an agent, and then lets that answer."""

    def __init__(self, engine: Engine, settings: Settings, trace: Trace | None = None) -> None:
        self._engine = engine
        self._settings = settings
        self._trace = trace
        self._connection: Connection | None = None
        self._client = Capabilities()
        self._imports: asyncio.Task[Agent] | None = None
        self._downloading: asyncio.Task[None] | None = None

    @property
    def requests(self) -> dict[str, Handler]:
        own: dict[str, Handler] = {"initialize": self.initialize, "authenticate": self.authenticate}
        return own | {method: partial(self._request, method) for method in SESSION_REQUESTS}

    @property
    def notifications(self) -> dict[str, Handler]:
        return {method: partial(self._notify, method) for method in SESSION_NOTIFICATIONS}

    def attach(self, connection: Connection) -> None:
        """Let sessions talk through `connection`."""
        self._connection = connection

    async def initialize(self, params: Any) -> dict[str, Any]:
        requested = params.get("protocolVersion") if isinstance(params, dict) else None
        if not isinstance(requested, int) or isinstance(requested, bool):
            raise invalid_params("protocolVersion", "an integer is required")
        self._client = Capabilities.declared(params)
        if self._imports is None:
            self._imports = asyncio.create_task(self._import_agent())
        return {
            "protocolVersion": PROTOCOL_VERSION,
            "agentInfo": {"name": "gptoss-acp", "title": "gpt-oss", "version": __version__},
            "agentCapabilities": {
                "loadSession": True,
                "promptCapabilities": {"image": False, "audio": False, "embeddedContext": True},
                "mcpCapabilities": {"http": True, "sse": True},
                "sessionCapabilities": {
                    name: {} for name in ("list", "resume", "fork", "close", "delete", "additionalDirectories")
                },
            },
            "authMethods": authentication.methods(self._engine.model_name, self._client),
        }

    async def authenticate(self, params: Any) -> dict[str, Any]:
        await self._agent()
        method = params.get("methodId") if isinstance(params, dict) else None
        if method != authentication.PREPARE_MODEL:
            raise invalid_params("methodId", f"the only method that can be asked for is {authentication.PREPARE_MODEL}")
        try:
            await self._engine.check_available()
        except ModelMissingError as error:
            if not error.downloadable:
                raise RpcError(INTERNAL_ERROR, str(error)) from error
            self._engine.may_download = True
            await asyncio.to_thread(_keep_yes, self._engine.model_name)
            self._downloading = asyncio.create_task(self._download())
        except EngineError as error:
            raise RpcError(INTERNAL_ERROR, str(error)) from error
        return {}

    async def _download(self) -> None:
        try:
            await self._engine.download()
        except EngineError as error:
            log.warning("%s", error)  # which the first prompt says, and tries again

    def shut_down(self) -> None:
        """Stop every session."""
        if agent := self._imported():
            agent.sessions.stop()

    async def let_go(self) -> None:
        """Return when all of every session is on the disk, and what they have started has ended."""
        if agent := self._imported():
            await agent.sessions.let_go()

    async def _request(self, method: str, params: Any) -> Any:
        return await (await self._agent()).requests[method](params)

    async def _notify(self, method: str, params: Any) -> None:
        await (await self._agent()).notifications[method](params)

    async def _import_agent(self) -> Agent:
        assert self._connection is not None
        room = await asyncio.to_thread(importlib.import_module, "gptoss_acp.agent")
        gc.freeze()  # what is imported stays, and to look through it at every collection is felt in the stream
        agent: Agent = await room.begin(self._engine, self._settings, self._connection, self._trace)
        return agent

    def _imported(self) -> Agent | None:
        imports = self._imports
        return imports.result() if imports is not None and imports.done() and not imports.exception() else None

    async def _agent(self) -> Agent:
        """Return the agent once it is imported, for the client as it last declared itself."""
        if self._imports is None:
            raise RpcError(INVALID_REQUEST, "Invalid request: send initialize first")
        agent = await asyncio.shield(self._imports)
        agent.sessions.client = self._client
        return agent


def _keep_yes(model: str) -> None:
    """Keep in the configuration file that this model may be downloaded."""
    try:
        config_file.change("download", model)
    except (OSError, ValueError) as error:
        log.warning("that %s may be downloaded is not kept: %s", model, error)
