"""Sessions on disk: SQLite in the user's data folder, shared by every agent process.

`sessions.py` is what the agent uses, `recording.py` a session that is open, `worker.py` the thread of both. Below them:
`archive.py` (what can be done with sessions at rest), `database.py` (the file: opening, damage, transactions),
`schema.py` and `tables.py` (what is in it), `folding.py` (what a replay sends), `locks.py` (who has a session open).
`command.py` is `gptoss-acp sessions`. Nothing here knows Harmony, the tools or how a line is sent.
"""
