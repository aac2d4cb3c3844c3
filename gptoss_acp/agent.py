"""The Agent Client Protocol's requests about sessions, one method each: find the session, answer.

Knows ACP (https://agentclientprotocol.com, version 1). Knows nothing about tokens or MLX. Slow to import: the first
words with a client are `handshake.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from acp.schema import (
    CancelNotification,
    CloseSessionRequest,
    DeleteSessionRequest,
    ForkSessionRequest,
    ListSessionsRequest,
    LoadSessionRequest,
    NewSessionRequest,
    PromptRequest,
    ResumeSessionRequest,
    SetSessionConfigOptionSelectRequest,
    SetSessionModeRequest,
)
from pydantic import BaseModel

from gptoss_acp.briefing import prompt_content
from gptoss_acp.engine.api import Engine, EngineError, ModelMissingError, Trace
from gptoss_acp.open_sessions import OpenSessions
from gptoss_acp.protocol import authentication, config_options, params
from gptoss_acp.protocol.editor import Editor
from gptoss_acp.protocol.shapes import OURS
from gptoss_acp.rpc import INTERNAL_ERROR, INVALID_REQUEST, Connection, Handler, RpcError, invalid_params
from gptoss_acp.store import CursorError, Info, SessionInUseError, Store, StoreError, UnknownSessionError, as_time
from gptoss_acp.text import as_sentence, json_size

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from gptoss_acp.protocol.params import Folders, McpServer
    from gptoss_acp.protocol.requests import (
        InFolders,
        Listing,
        OfSession,
        OfSessionInFolders,
        Prompt,
        SetConfigOption,
        SetMode,
    )
    from gptoss_acp.session import Session
    from gptoss_acp.settings import Settings
    from gptoss_acp.turn import Outcome

AUTH_REQUIRED = -32000
RESOURCE_NOT_FOUND = -32002

_LONGEST_LIST = 60_000

Answer = dict[str, Any]
Request = TypeVar("Request", bound=BaseModel)
Opening = TypeVar("Opening", NewSessionRequest, LoadSessionRequest, ResumeSessionRequest, ForkSessionRequest)


async def begin(engine: Engine, settings: Settings, connection: Connection, trace: Trace | None) -> Agent:
    """Return the agent of a client, once what all its sessions need is in memory."""
    sessions = OpenSessions(Store(), engine, settings, partial(Editor, connection), trace)
    await sessions.begin_all()
    engine.start()
    return Agent(engine, sessions)


class Agent:
    """What one client asks of its sessions."""

    def __init__(self, engine: Engine, sessions: OpenSessions) -> None:
        self._engine = engine
        self.sessions = sessions
        self.requests: Mapping[str, Handler] = {
            "session/new": self._opening(NewSessionRequest, self.new_session),
            "session/load": self._opening(LoadSessionRequest, self.load_session),
            "session/resume": self._opening(ResumeSessionRequest, self.resume_session),
            "session/fork": self._opening(ForkSessionRequest, self.fork_session),
            "session/list": self._typed(ListSessionsRequest, self.list_sessions),
            "session/close": self._typed(CloseSessionRequest, self.close_session),
            "session/delete": self._typed(DeleteSessionRequest, self.delete_session),
            "session/prompt": self._typed(PromptRequest, self.prompt),
            "session/set_mode": self._typed(SetSessionModeRequest, self.set_mode),
            "session/set_config_option": self._typed(SetSessionConfigOptionSelectRequest, self.set_config_option),
        }
        self.notifications: Mapping[str, Handler] = {"session/cancel": self._typed(CancelNotification, self.cancel)}

    async def new_session(self, request: InFolders, servers: Sequence[McpServer]) -> Answer:
        session = await self.sessions.begin(await _there(params.folders(request)), servers)
        return self._opened(session, {"sessionId": session.id})

    async def load_session(self, request: OfSessionInFolders, servers: Sequence[McpServer]) -> Answer:
        session = await self.sessions.reopen(request.session_id, params.folders(request), servers, replay=True)
        return self._opened(session, {})

    async def resume_session(self, request: OfSessionInFolders, servers: Sequence[McpServer]) -> Answer:
        session = await self.sessions.reopen(request.session_id, params.folders(request), servers, replay=False)
        return self._opened(session, {})

    async def fork_session(self, request: OfSessionInFolders, servers: Sequence[McpServer]) -> Answer:
        session = await self.sessions.fork(request.session_id, await _there(params.folders(request)), servers)
        return self._opened(session, {"sessionId": session.id})

    async def list_sessions(self, request: Listing) -> Answer:
        cwd = request.cwd and str(params.absolute("cwd", request.cwd))
        try:
            page = await self.sessions.store.page(cwd, request.cursor)
        except CursorError:
            raise invalid_params("cursor", "no list has given this cursor") from None
        listed = {"sessions": _described(page.sessions)}
        return listed | ({"nextCursor": page.cursor} if page.cursor else {})

    async def close_session(self, request: OfSession) -> Answer:
        await self.sessions.close(request.session_id)
        return {}

    async def delete_session(self, request: OfSession) -> Answer:
        await self.sessions.delete(request.session_id)
        return {}

    async def prompt(self, request: Prompt) -> Answer:
        session = await self.sessions.settled(request.session_id)
        session.journal.note_problem(self.sessions.take_problem())
        return prompt_response(await put(session, request.prompt))

    async def set_mode(self, request: SetMode) -> Answer:
        session = await self.sessions.settled(request.session_id)
        session.set_mode(params.mode("modeId", request.mode_id))
        session.updates.config_options(session.config_options())
        await session.journal.commit()
        return {}

    async def set_config_option(self, request: SetConfigOption) -> Answer:
        session = await self.sessions.settled(request.session_id)
        match request.config_id:
            case "mode":
                session.set_mode(params.mode("value", request.value))
                session.updates.mode(session.mode)
            case "model":
                await self._switch(session, params.one_of("value", request.value, session.models))
            case "effort":
                session.set_effort(params.effort("value", request.value))
            case "context":
                session.set_context(params.one_of("value", request.value, config_options.CONTEXTS))
            case _:
                raise invalid_params("configId", "there is no such option")
        await session.journal.commit()
        return {"configOptions": session.config_options()}

    async def cancel(self, request: OfSession) -> None:
        self.sessions.find(request.session_id).cancel()

    async def _switch(self, session: Session, model: str) -> None:
        engine = self._engine.other(model)
        await engine.check_available()
        session.set_model(engine)
        session.prepare()

    def _opened(self, session: Session, answer: Answer) -> Answer:
        """Return the answer to a request that has opened a session."""
        session.prepare()
        # Runs once the answer is on its way, before which the client does not know the session.
        asyncio.get_running_loop().call_soon(session.advertise)
        return {**answer, "modes": session.modes(), "configOptions": session.config_options()}

    # What the requests share

    def _typed(self, model: type[Request], method: Callable[[Request], Awaitable[Any]]) -> Handler:
        """Return `method` for params that are still to be read as `model`."""

        async def handle(given: Any) -> Any:
            request = params.read(model, given)
            with self._answering_failures():
                return await method(request)

        return handle

    def _opening(
        self, model: type[Opening], method: Callable[[Opening, Sequence[McpServer]], Awaitable[Answer]]
    ) -> Handler:
        """Return a `method` that opens a session, for params that are still to be read as `model`."""

        async def handle(given: Any) -> Answer:
            lenient = {"mcpServers": [], **given} if isinstance(given, dict) else given
            request = params.read(model, lenient)
            params.folders(request)
            servers = params.mcp_servers(lenient["mcpServers"] or [])
            with self._answering_failures():
                return await method(request, servers)

        return handle

    @contextlib.contextmanager
    def _answering_failures(self) -> Iterator[None]:
        try:
            yield
        except UnknownSessionError as error:
            raise RpcError(RESOURCE_NOT_FOUND, as_sentence(str(error))) from error
        except StoreError as error:
            code = INVALID_REQUEST if isinstance(error, SessionInUseError) else INTERNAL_ERROR
            raise RpcError(code, as_sentence(str(error))) from error
        except ModelMissingError as error:
            methods = authentication.methods(self._engine.model_name, self.sessions.client)
            if not (error.downloadable and methods):  # a sign-in would not help
                raise RpcError(INTERNAL_ERROR, f"{error} Choose another with --model.") from error
            # Some editors have no way to sign in, and cut a long message: first what always works.
            command = authentication.setup_command(self._engine.model_name)
            message = f"{error} Run `{command}` in a terminal, or authenticate with '{methods[0]['name']}'."
            raise RpcError(AUTH_REQUIRED, message, {"authMethods": methods}) from error
        except EngineError as error:
            raise RpcError(INTERNAL_ERROR, str(error)) from error


async def _there(folders: Folders) -> Folders:
    """Return `folders` if there is something to work in; an older session may be opened without, to be read."""
    if not await asyncio.to_thread(os.path.isdir, folders.cwd):
        raise invalid_params("cwd", f"there is no folder {folders.cwd[:1000]}")
    return folders


def _described(infos: Sequence[Info]) -> list[Answer]:
    """Return what a list says of sessions."""
    described: list[Answer] = [
        {"sessionId": info.id, "cwd": info.cwd, "updatedAt": as_time(info.updated).isoformat()}
        | ({"title": info.title} if info.title else {})
        for info in infos
    ]
    folders = [{"additionalDirectories": list(info.additional)} if info.additional else {} for info in infos]
    whole = [session | more for session, more in zip(described, folders, strict=True)]
    # The folders need not be said (ACP, session-list), and a line must not be too long.
    return whole if json_size(whole) < _LONGEST_LIST else described


async def put(session: Session, prompt: Sequence[Any]) -> Outcome:
    """Put a prompt, of ACP's content blocks, to a session; see `Session.prompt`.

    Raises:
        EngineError: the model could not be loaded, or failed.
        RpcError: a block is of a kind that the agent has not declared.
    """
    text = prompt_content.text(prompt, session.workspace.roots)
    own = prompt_content.own_words(prompt, session.workspace.roots)
    attached = partial(prompt_content.attached, prompt, session.workspace, session.tell)
    blocks = [block.model_dump(mode="json", by_alias=True, exclude_unset=True) for block in prompt]
    return await session.prompt(text, attached, blocks, own)


def prompt_response(outcome: Outcome) -> Answer:
    """Return the answer to `session/prompt`; times in `_meta` are milliseconds."""
    meta: Answer = {
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
        "_meta": {OURS: meta},
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
