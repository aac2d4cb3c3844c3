"""The Agent Client Protocol's requests, one method each: validate, find the session, answer.

Knows ACP (https://agentclientprotocol.com, version 1). Knows nothing about tokens or MLX.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptoss_acp import __version__
from gptoss_acp.engine import checkpoints
from gptoss_acp.protocol import authentication
from gptoss_acp.protocol import params as validation
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.rpc import INTERNAL_ERROR, INVALID_REQUEST, Connection, Handler, RpcError

if TYPE_CHECKING:
    from gptoss_acp.conversation.journal import Journal
    from gptoss_acp.engine.api import Engine, Trace
    from gptoss_acp.protocol.updates import Update
    from gptoss_acp.session import Session
    from gptoss_acp.settings import Settings
    from gptoss_acp.store.recording import StoredSession
    from gptoss_acp.store.store import Store
    from gptoss_acp.store.tables import Info
    from gptoss_acp.turn import Outcome

log = logging.getLogger(__name__)

PROTOCOL_VERSION = 1
AUTH_REQUIRED = -32000
RESOURCE_NOT_FOUND = -32002

_LONGEST_LIST = 60_000


class Agent:
    """Every session of one client."""

    def __init__(self, engine: Engine, settings: Settings, trace: Trace | None = None) -> None:
        self._engine = engine
        self._settings = settings
        self._trace = trace
        self._sessions: dict[str, Session] = {}
        self._connection: Connection | None = None
        self._client = Capabilities()
        self._imports: asyncio.Task[Any] | None = None
        self._opened_store: Store | None = None
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._untold: str | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def requests(self) -> Mapping[str, Handler]:
        return {
            "initialize": self.initialize,
            "authenticate": self.authenticate,
            "session/new": self.new_session,
            "session/load": self.load_session,
            "session/resume": self.resume_session,
            "session/fork": self.fork_session,
            "session/list": self.list_sessions,
            "session/close": self.close_session,
            "session/delete": self.delete_session,
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
            raise validation.invalid("protocolVersion", "an integer is required")
        self._client = Capabilities.declared(params)
        if self._imports is None:
            self._imports = asyncio.create_task(self._import_slowly())
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
        request = await self._validate("AuthenticateRequest", params)
        if request.method_id != authentication.PREPARE_MODEL:
            raise validation.invalid(
                "methodId", f"the only method that can be asked for is {authentication.PREPARE_MODEL}"
            )
        from gptoss_acp.engine.api import EngineError

        try:
            await self._engine.download()
            await self._engine.load()
        except EngineError as error:
            # Not AUTH_REQUIRED, whatever is missing: that would ask for what has just been tried.
            raise RpcError(INTERNAL_ERROR, str(error)) from error
        return {}

    async def new_session(self, params: Any) -> dict[str, Any]:
        request, servers = await self._opening("NewSessionRequest", params)
        from gptoss_acp.conversation.journal import Journal

        config = {"mode": self._settings.mode, "effort": self._settings.effort}
        stored = self._store.create(**validation.folders(request), config=config)
        journal = Journal(stored)
        async with _freed_on_failure(stored):
            await journal.commit()
            session = await self._new_session(journal, stored.info, servers)
        return self._opened(session, {"sessionId": stored.info.id})

    async def load_session(self, params: Any) -> dict[str, Any]:
        request, servers = await self._opening("LoadSessionRequest", params)
        session, shown = await self._reopen(request, servers)
        await session.updates.replay(shown)
        return self._opened(session, {})

    async def resume_session(self, params: Any) -> dict[str, Any]:
        request, servers = await self._opening("ResumeSessionRequest", params)
        session, _ = await self._reopen(request, servers)
        return self._opened(session, {})

    async def fork_session(self, params: Any) -> dict[str, Any]:
        request, servers = await self._opening("ForkSessionRequest", params)
        with self._answering_failures():
            stored = await self._store.fork(request.session_id, **validation.folders(request))
            session, _ = await self._resume(stored, servers)
        return self._opened(session, {"sessionId": stored.info.id})

    async def list_sessions(self, params: Any) -> dict[str, Any]:
        request = await self._validate("ListSessionsRequest", params)
        from gptoss_acp.store.tables import CursorError

        cwd = request.cwd and str(validation.absolute("cwd", request.cwd))
        try:
            with self._answering_failures():
                page = await self._store.page(cwd, request.cursor)
        except CursorError:
            raise validation.invalid("cursor", "no list has given this cursor") from None
        listed = {"sessions": _described(page.sessions)}
        return listed | ({"nextCursor": page.cursor} if page.cursor else {})

    async def close_session(self, params: Any) -> dict[str, Any]:
        request = await self._validate("CloseSessionRequest", params)
        self._session(request.session_id)
        await self._close(request.session_id)
        return {}

    async def delete_session(self, params: Any) -> dict[str, Any]:
        request = await self._validate("DeleteSessionRequest", params)
        from gptoss_acp.store.failures import UnknownSessionError

        await self._close(request.session_id)
        with self._answering_failures(), contextlib.suppress(UnknownSessionError):
            await self._store.delete(request.session_id)
        return {}

    async def prompt(self, params: Any) -> dict[str, Any]:
        request = await self._validate("PromptRequest", params)
        from gptoss_acp.briefing import prompt_content  # once the background import is through: it needs the tools

        session = self._session(request.session_id)
        text = prompt_content.text(request.prompt, session.workspace.roots)
        attached = partial(prompt_content.attached, request.prompt, session.workspace)
        blocks = [block.model_dump(mode="json", by_alias=True, exclude_unset=True) for block in request.prompt]
        session.journal.note_problem(self._untold)
        self._untold = None
        with self._answering_failures():
            return prompt_response(await session.prompt(text, attached, blocks))

    async def set_mode(self, params: Any) -> dict[str, Any]:
        request = await self._validate("SetSessionModeRequest", params)
        session = self._session(request.session_id)
        session.set_mode(validation.mode("modeId", request.mode_id))
        session.updates.config_options(session.config_options())
        await session.journal.commit()
        return {}

    async def set_config_option(self, params: Any) -> dict[str, Any]:
        request = await self._validate("SetSessionConfigOptionSelectRequest", params)
        session = self._session(request.session_id)
        match request.config_id:
            case "mode":
                session.set_mode(validation.mode("value", request.value))
                session.updates.mode(session.mode)
            case "model":
                await self._switch(session, validation.one_of("value", request.value, session.models))
            case "effort":
                session.set_effort(validation.effort("value", request.value))
            case "context":
                from gptoss_acp.protocol.config_options import CONTEXTS

                session.set_context(validation.one_of("value", request.value, CONTEXTS))
            case _:
                raise validation.invalid("configId", "there is no such option")
        await session.journal.commit()
        return {"configOptions": session.config_options()}

    async def cancel(self, params: Any) -> None:
        request = await self._validate("CancelNotification", params)
        self._session(request.session_id).cancel()

    async def _switch(self, session: Session, model: str) -> None:
        engine = self._engine.other(model)
        with self._answering_failures():
            await engine.check_available()
        session.set_model(engine)
        self._prepare(session)

    def shut_down(self) -> None:
        """Stop every session."""
        for session in self._sessions.values():
            session.stop()

    async def let_go(self) -> None:
        """Return when all of every session is on the disk."""
        if self._opened_store is not None:
            await self._opened_store.close()

    # What the methods share

    async def _import_slowly(self) -> Any:
        schema = await asyncio.to_thread(importlib.import_module, "acp.schema")
        await asyncio.to_thread(importlib.import_module, "gptoss_acp.session")
        from gptoss_acp.store.store import Store

        store = self._opened_store = Store()
        self._in_background(self._tidy_store(store), "old sessions are not deleted")
        self._engine.start()
        return schema

    async def _tidy_store(self, store: Store) -> None:
        from gptoss_acp.store.failures import DamagedError

        try:
            await store.keep_for(self._settings.keep_days)
        except DamagedError as error:
            self._untold = str(error)

    @property
    def _store(self) -> Store:
        assert self._opened_store is not None, "a request has been validated, so the imports are through"
        return self._opened_store

    async def _schema(self) -> Any:
        """Return the SDK's schema once it is imported."""
        if self._imports is None:
            raise RpcError(INVALID_REQUEST, "Invalid request: send initialize first")
        return await asyncio.shield(self._imports)

    async def _validate(self, model: str, params: Any) -> Any:
        """Return `params` as the schema's `model`, or answer with the wrong fields."""
        return validation.read(await self._schema(), model, params)

    async def _opening(self, model: str, params: Any) -> tuple[Any, list[Any]]:
        """Return a request that opens a session, once it can be opened, and its MCP servers."""
        lenient = {"mcpServers": [], **params} if isinstance(params, dict) else params
        request = await self._validate(model, lenient)
        validation.folders(request)
        servers = validation.mcp_servers(await self._schema(), lenient["mcpServers"] or [])
        with self._answering_failures():
            await self._engine.check_available()
        return request, servers

    async def _reopen(self, request: Any, servers: list[Any]) -> tuple[Session, list[Update]]:
        """Return a stored session as `_resume` does; if it is open here, that comes to its end first."""
        await self._close(request.session_id)
        with self._answering_failures():
            stored = await self._store.open(request.session_id)
            stored.change(**validation.folders(request))
            return await self._resume(stored, servers)

    async def _resume(self, stored: StoredSession, servers: list[Any]) -> tuple[Session, list[Update]]:
        """Return a session that goes on from what is stored, and all that it has shown so far."""
        from gptoss_acp.conversation.journal import Journal

        async with _freed_on_failure(stored):
            shown = await stored.updates()
            journal = Journal(stored, shown, await stored.undos())
            await journal.commit()
            return await self._new_session(journal, stored.info, servers), shown

    def _opened(self, session: Session, answer: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request that has opened a session."""
        self._prepare(session)
        # Runs once the answer is on its way, before which the client does not know the session.
        asyncio.get_running_loop().call_soon(session.advertise)
        return {**answer, "modes": session.modes(), "configOptions": session.config_options()}

    async def _new_session(self, journal: Journal, info: Info, servers: list[Any]) -> Session:
        from gptoss_acp.protocol.editor import Editor
        from gptoss_acp.protocol.updates import Updates
        from gptoss_acp.session import Session
        from gptoss_acp.workspace.paths import Roots
        from gptoss_acp.workspace.workspace import Workspace

        assert self._connection is not None
        face = Editor(self._connection, info.id, self._client)
        workspace = Workspace(Roots(Path(info.cwd), [Path(folder) for folder in info.additional]), face)
        updates = Updates(self._connection, info.id, journal.update, shows_compaction=self._client.compaction)
        session = Session(
            *(workspace, await self._engine_for(journal), updates, self._settings, journal),
            models=await self._models(),
            trace=self._trace,
            mcp_servers=servers,
        )
        self._sessions[info.id] = session
        return session

    async def _models(self) -> list[str]:
        """Return what a session can choose from."""
        return [self._engine.model_name, *await asyncio.to_thread(checkpoints.on_this_machine), checkpoints.BUNDLED]

    async def _engine_for(self, journal: Journal) -> Engine:
        """Return the engine of the model that a session has chosen, or ours if that is not on this machine any more."""
        from gptoss_acp.engine.api import EngineError

        chosen = self._engine.other(journal.config.get("model", self._engine.model_name))
        if chosen is self._engine:
            return chosen
        try:
            await chosen.check_available()
        except EngineError as error:
            journal.note_problem(f"{error} The conversation goes on with {self._engine.model_name}")
            return self._engine
        return chosen

    def _prepare(self, session: Session) -> None:
        self._in_background(session.prepare(), "the model is not loaded; the next prompt will say why")

    async def _close(self, session_id: str) -> None:
        """Close a session if it is open, and go on doing so if this is cancelled."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._closing[session_id] = self._in_background(session.close(), "a session was not closed")
        if closing := self._closing.get(session_id):
            await asyncio.shield(closing)
            self._closing.pop(session_id, None)

    def _session(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise RpcError(RESOURCE_NOT_FOUND, f"There is no session {session_id[:100]}")
        return session

    def _in_background(self, work: Coroutine[Any, Any, None], failure: str) -> asyncio.Task[None]:
        async def finish() -> None:
            try:
                await work
            except Exception:
                log.warning(failure, exc_info=True)

        task = asyncio.create_task(finish())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    @contextlib.contextmanager
    def _answering_failures(self) -> Iterator[None]:
        from gptoss_acp.conversation.journal import as_sentence
        from gptoss_acp.engine.api import EngineError, ModelMissingError
        from gptoss_acp.store.failures import SessionInUseError, StoreError, UnknownSessionError

        try:
            yield
        except UnknownSessionError as error:
            raise RpcError(RESOURCE_NOT_FOUND, as_sentence(str(error))) from error
        except StoreError as error:
            code = INVALID_REQUEST if isinstance(error, SessionInUseError) else INTERNAL_ERROR
            raise RpcError(code, as_sentence(str(error))) from error
        except ModelMissingError as error:
            methods = authentication.methods(self._engine.model_name, self._client)
            download = f"Authenticate with '{methods[0]['name']}', or choose" if error.downloadable else "Choose"
            message = f"{error} {download} another with --model."
            raise RpcError(AUTH_REQUIRED, message, {"authMethods": methods}) from error
        except EngineError as error:
            raise RpcError(INTERNAL_ERROR, str(error)) from error


@contextlib.asynccontextmanager
async def _freed_on_failure(stored: StoredSession) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await stored.close()
        raise


def _described(infos: Sequence[Info]) -> list[dict[str, Any]]:
    """Return what a list says of sessions."""
    from gptoss_acp.store.tables import as_time
    from gptoss_acp.text import json_size

    described: list[dict[str, Any]] = [
        {"sessionId": info.id, "cwd": info.cwd, "updatedAt": as_time(info.updated).isoformat()}
        | ({"title": info.title} if info.title else {})
        for info in infos
    ]
    folders = [{"additionalDirectories": list(info.additional)} if info.additional else {} for info in infos]
    whole = [session | more for session, more in zip(described, folders, strict=True)]
    # The folders need not be said (ACP, session-list), and a line must not be too long.
    return whole if json_size(whole) < _LONGEST_LIST else described


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
