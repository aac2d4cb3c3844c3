"""Which sessions are open: begun, opened again, copied, found, closed.

Knows what a session is made of. Knows nothing about ACP's requests, tokens or MLX.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

from gptoss_acp.conversation.journal import Journal
from gptoss_acp.conversation.own_prompts import OwnPrompts
from gptoss_acp.engine import checkpoints
from gptoss_acp.engine.api import Engine, EngineError, ModelMissingError, Trace
from gptoss_acp.harmony import encoding
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.protocol.updates import Updates
from gptoss_acp.session import Session
from gptoss_acp.settings import unknown
from gptoss_acp.shielding import unharmed
from gptoss_acp.store import DamagedError, Store, StoredSession, UnknownSessionError
from gptoss_acp.workspace import temporary
from gptoss_acp.workspace.paths import Roots
from gptoss_acp.workspace.sandbox import Sandbox
from gptoss_acp.workspace.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gptoss_acp.protocol.face import Face
    from gptoss_acp.protocol.params import Folders, McpServer
    from gptoss_acp.protocol.shapes import Update
    from gptoss_acp.settings import Settings

log = logging.getLogger(__name__)


class OpenSessions:
    """Every session of one client, and the stored ones.

    Every method that waits may raise StoreError, those that open a session EngineError. Requests about one session are
    done in the order in which they come.

    `client` is what the client can do, as it declared last; sessions that are opened from then on go by it. `face_of`
    makes the face of a session from its id and that.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        settings: Settings,
        face_of: Callable[[str, Capabilities], Face],
        trace: Trace | None = None,
    ) -> None:
        self.store = store
        self.client = Capabilities()
        self._engine = engine
        self._settings = settings
        self._face_of = face_of
        self._trace = trace
        self._sessions: dict[str, Session] = {}
        self._ids: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._replays: dict[str, asyncio.Task[None]] = {}
        self._untold: str | None = "; ".join(map(str, unknown())) or None
        self._tidying: asyncio.Task[None] | None = None

    def find(self, session_id: str) -> Session:
        """Return an open session.

        Raises:
            UnknownSessionError: none of this id is open.
        """
        session = self._sessions.get(session_id)
        if session is None:
            raise UnknownSessionError(f"there is no session {session_id[:100]}")
        return session

    async def begin(self, folders: Folders, servers: Sequence[McpServer]) -> Session:
        """Open a new session."""
        await self._check_available()
        config = {"mode": self._settings.mode, "effort": self._settings.effort}
        stored = self.store.create(folders.cwd, folders.additional, config)
        async with _freed_on_failure(stored):
            journal = Journal(stored)
            await journal.commit()
            return await self._open(journal, folders, servers)

    async def reopen(self, session_id: str, folders: Folders, servers: Sequence[McpServer], *, replay: bool) -> Session:
        """Open a stored session; if it is open here, that ends first. With `replay`, show all that it has shown so far.

        Raises:
            UnknownSessionError: there is no such session, or it was closed during its replay.
            SessionInUseError: another process has it open.
        """
        async with self._alone_with(session_id):
            await self._check_available()
            await self._close(session_id)
            stored = await self.store.open(session_id)
            stored.change(cwd=folders.cwd, additional=folders.additional)
            session, shown = await self._resume(stored, folders, servers)
            if replay:
                await self._replay(session, shown)
            return session

    async def fork(self, session_id: str, folders: Folders, servers: Sequence[McpServer]) -> Session:
        """Open a copy of a session, which may be open itself.

        Raises:
            UnknownSessionError: there is no such session.
        """
        async with self._alone_with(session_id):
            await self._check_available()
            stored = await self.store.fork(session_id, folders.cwd, folders.additional)
            session, _ = await self._resume(stored, folders, servers)
        return session

    async def settled(self, session_id: str) -> Session:
        """Return an open session, also one that is being opened when this is called.

        Raises:
            UnknownSessionError: none of this id is open then.
        """
        lock = self._ids.get(session_id)
        if lock is not None and lock.locked():
            async with lock:
                return self.find(session_id)
        return self.find(session_id)

    async def close(self, session_id: str) -> None:
        """Close an open session.

        Raises:
            UnknownSessionError: none of this id is open.
        """
        self._stop_replay(session_id)
        async with self._alone_with(session_id):
            self.find(session_id)
            await self._close(session_id)

    async def delete(self, session_id: str) -> None:
        """Close a session if it is open, and delete what is stored of it, if anything.

        Raises:
            SessionInUseError: another process has it open.
        """
        self._stop_replay(session_id)
        async with self._alone_with(session_id):
            await self._close(session_id)
            with contextlib.suppress(UnknownSessionError):
                await self.store.delete(session_id)

    async def begin_all(self) -> None:
        """Get ready what all sessions need; what is not to be kept any more is deleted in the background."""
        await asyncio.to_thread(encoding.warm_up)
        self._tidying = asyncio.create_task(self._tidy())

    def take_problem(self) -> str | None:
        """Return what the user is to be told, once, about the stored sessions."""
        untold, self._untold = self._untold, None
        return untold

    def stop(self) -> None:
        """Stop all that runs in any session."""
        for session in self._sessions.values():
            session.stop()

    async def let_go(self) -> None:
        """Return when all of every session is on the disk, and what they have started has ended."""
        await self.store.close()
        clearing = [session.clear_away() for session in self._sessions.values()]
        for problem in filter(None, await asyncio.gather(*clearing, return_exceptions=True)):
            log.warning("a session has left something behind", exc_info=problem)

    async def _resume(
        self, stored: StoredSession, folders: Folders, servers: Sequence[McpServer]
    ) -> tuple[Session, list[Update]]:
        async with _freed_on_failure(stored):
            shown = cast("list[Update]", await stored.updates())
            journal = Journal(stored, shown, await stored.undos())
            await journal.commit()
            return await self._open(journal, folders, servers), shown

    async def _replay(self, session: Session, shown: Sequence[Update]) -> None:
        replaying = session.spawn(session.updates.replay(shown), "a conversation was not shown again")
        if replaying is not None:
            self._replays[session.id] = replaying
            try:
                await asyncio.wait([replaying])
            finally:
                replaying.cancel()
                del self._replays[session.id]
        if replaying is None or replaying.cancelled():
            raise UnknownSessionError(f"the session {session.id} was closed while it was loaded")

    def _stop_replay(self, session_id: str) -> None:
        if replaying := self._replays.get(session_id):
            replaying.cancel()

    async def _open(self, journal: Journal, folders: Folders, servers: Sequence[McpServer]) -> Session:
        face = self._face_of(journal.id, self.client)
        roots = Roots(Path(folders.cwd), [Path(folder) for folder in folders.additional])
        sandbox = Sandbox(self._settings.sandbox, roots.folders, self._settings.sandbox_servers)
        await sandbox.find()
        passed = self._settings.pass_variables.split(",")
        workspace = Workspace(roots, face, sandbox, passed, self._settings.encoding)
        session = Session(
            workspace,
            await self._engine_for(journal),
            Updates(face, journal.update),
            self._settings,
            journal,
            models=await self._models(),
            trace=self._trace,
            mcp_servers=servers,
            own_prompts=await OwnPrompts.of(workspace),
        )
        self._sessions[journal.id] = session
        return session

    async def _check_available(self) -> None:
        """Return if the model is here, or may be downloaded by the first prompt."""
        try:
            await self._engine.check_available()
        except ModelMissingError as error:
            if not (error.downloadable and self._engine.may_download):
                raise

    async def _models(self) -> list[str]:
        """Return what a session can choose from."""
        return [self._engine.model_name, *await asyncio.to_thread(checkpoints.on_this_machine), checkpoints.BUNDLED]

    async def _engine_for(self, journal: Journal) -> Engine:
        """Return the engine of the model that a session has chosen, or ours if that is not on this machine any more."""
        chosen = self._engine.other(journal.config.get("model", self._engine.model_name))
        if chosen is self._engine:
            return chosen
        try:
            await chosen.check_available()
        except EngineError as error:
            journal.note_problem(f"{error} The conversation goes on with {self._engine.model_name}")
            return self._engine
        return chosen

    async def _close(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            await unharmed(session.close())

    @contextlib.asynccontextmanager
    async def _alone_with(self, session_id: str) -> AsyncIterator[None]:
        """Of several that open or close the same session, let one after the other do so."""
        lock = self._ids.setdefault(session_id, asyncio.Lock())
        async with lock:
            yield

    async def _tidy(self) -> None:
        try:
            await asyncio.to_thread(temporary.remove_abandoned)
            await self.store.keep_for(self._settings.keep_days)
        except DamagedError as error:
            self._untold = "; ".join(filter(None, (str(error), self._untold)))
        except Exception:
            log.warning("old sessions are not deleted", exc_info=True)


@contextlib.asynccontextmanager
async def _freed_on_failure(stored: StoredSession) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await stored.close()
        raise
