"""Sessions on disk: SQLite in the user's data folder, shared by every agent process. This is its one door.

`store.py` is what the agent uses, `recording.py` a session that is open, `worker.py` the thread of both. Below them:
`archive.py` (what can be done with sessions at rest), `database.py` (the file: opening, damage, transactions),
`schema.py` and `tables.py` (what is in it), `replay.py` (what a replay sends: the only room that knows the shapes of
updates), `locks.py` (who has a session open). Nothing here knows Harmony, the tools or how a line is sent.
"""

from gptoss_acp.store.archive import Archive
from gptoss_acp.store.failures import CursorError, DamagedError, SessionInUseError, StoreError, UnknownSessionError
from gptoss_acp.store.recording import StoredSession
from gptoss_acp.store.replay import Update
from gptoss_acp.store.store import Store
from gptoss_acp.store.tables import Info, Page, Undo, as_time

__all__ = [
    "Archive",
    "CursorError",
    "DamagedError",
    "Info",
    "Page",
    "SessionInUseError",
    "Store",
    "StoreError",
    "StoredSession",
    "Undo",
    "UnknownSessionError",
    "Update",
    "as_time",
]
