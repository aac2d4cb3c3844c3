"""An agent that is killed at random moments of a conversation with edits and commands, and started again.

What it has acknowledged must be there: a prompt that was answered, with all that was shown; text that was shown a
second before; what a file was before the last edit. And the next prompt works.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.agent_process import AgentProcess, EndedError
from tests.support.conformance import Message
from tests.support.replaying import items, loaded, patch, received, shell, typed
from tests.support.tokens import final, numbers, preamble, said, text_of, thought

TURNS = 8
"""Turns of an agent's life that the model has a script for."""

SESSION_ROUNDS = 8
"""After so many rounds another session begins: a longer one would not fit the context."""

LONGEST_LIFE = 3.0
"""Seconds from the moment when an agent knows the session to its end, at most."""

DURABLE_SECONDS = 1.0
"""Text that was shown so long ago must not be lost."""

NOT_THE_MODELS = ("Took back", "Of the last changes", "There is nothing to take back")


class Crashes:
    """Rounds with one user in `home`, where the file `counter` counts the edits; each turn makes one."""

    def __init__(self, home: Path, seed: int) -> None:
        self._home = home
        self._random = random.Random(seed)
        self._counter = home / "counter"
        self._counter.write_text("0\n")
        self._session = ""
        self._base = 0
        self._acknowledged: list[dict[str, Any]] = []
        self._seen = ""
        self._rounds = 0
        self.answered = 0

    def round(self) -> None:
        """Start an agent, see that nothing is missing, converse with it and kill it."""
        with self._agent() as agent:
            shown = self._open(agent)
            life = Life(agent, self._session, shown)
            if self._random.random() < 0.5:
                self._undo(life)
            with life.killed_after(self._random.uniform(0, LONGEST_LIFE)):
                for _ in range(TURNS):
                    assert life.say("Go on") == "end_turn"
            self._check_told(agent, shown)
            self._acknowledged = life.acknowledged or self._acknowledged
            self._seen = life.seen
            self.answered += life.answered
        self._check_database()
        self._rounds += 1

    def last_round(self) -> None:
        """See that nothing is missing, and that the agent works and ends well."""
        with self._agent() as agent:
            life = Life(agent, self._session, self._open(agent))
            assert life.say("Go on") == "end_turn"
            assert agent.end() == 0
        self._check_database()

    def _agent(self) -> AgentProcess:
        """Start an agent whose model goes on from where the counter is."""
        generations: list[list[int]] = []
        for count in range(self._count(), self._count() + TURNS):
            lines = ("*** Update File: counter", f"-{count}", f"+{count + 1}")
            generations += [
                said(thought("One more."), preamble(f"I write {count + 1}."), patch(*lines)),
                shell(f"echo {count + 1} >> log; sleep 0.05"),
                said(thought("Done."), final(f"It says {count + 1}. {numbers(100)}")),
            ]
        script = self._home / "script.json"
        script.write_text(json.dumps({"generations": generations, "delay": 0.002}), "utf-8")
        (self._home / "trace").unlink(missing_ok=True)
        arguments = ["--script", str(script), "--mode", "full-access"]
        return AgentProcess(self._home, arguments, traced=True, ends_well=False)

    def _open(self, agent: AgentProcess) -> list[Message]:
        """Return what a session has shown so far, once it is seen to be all; now and then it is a new one."""
        agent.initialize()
        if self._session:
            shown = loaded(agent, self._session)
            replayed = items(shown)
            assert replayed[: len(self._acknowledged)] == self._acknowledged, "what was answered is missing"
            later = "".join(text for item in replayed[len(self._acknowledged) :] for _, text in item.get("blocks", ()))
            assert self._seen in later, f"what was shown is missing: {self._seen!r} in {later!r}"
        if self._rounds % SESSION_ROUNDS == 0:
            shown, self._session, self._base = [], agent.new_session(), self._count()
            self._acknowledged, self._seen = [], ""
        return shown

    def _undo(self, life: Life) -> None:
        """Take the last edit back. One that was about to be made when the agent was killed may stand before it."""
        count = self._count()
        for _ in range(2):
            if self._count() == count > self._base:
                assert life.say("/undo") == "end_turn"
        assert self._count() == max(self._base, count - 1), "the last edit can't be taken back"

    def _count(self) -> int:
        return int(self._counter.read_text())

    def _check_told(self, agent: AgentProcess, shown: list[Message]) -> None:
        """Fail if the model was not told all of its messages that were replayed."""
        if not (prompts := agent.traced_prompts()):
            return
        told = text_of(prompts[0])
        for item in items(shown):
            text = "".join(text for _, text in item.get("blocks", ()))
            if item.get("kind") == "agent_message_chunk" and not text.startswith(NOT_THE_MODELS):
                assert f"<|message|>{text}<|end|>" in told, f"the model does not know that it said {text!r}"

    def _check_database(self) -> None:
        (database,) = self._home.rglob("sessions*.db")
        with contextlib.closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


class Life:
    """What is said to one agent process until it is killed. `shown` is what it has replayed.

    `acknowledged`: the conversation to the last prompt that was answered, if one was. `seen`: the text that came after
    it, long enough ago.
    """

    def __init__(self, agent: AgentProcess, session: str, shown: list[Message]) -> None:
        self._agent = agent
        self._session = session
        self._shown = list(shown)
        self._taken = len(received(agent, session))
        self.answered = 0
        self.acknowledged: list[dict[str, Any]] = []
        self.seen = ""

    def say(self, text: str) -> str:
        answer = self._agent.result(self._agent.prompt(self._session, text))
        new = [one.message["params"]["update"] for one in self._new()]
        self._taken += len(new)
        self._shown += [typed(text), *new]
        self.acknowledged = items(self._shown)
        self.answered += 1
        return str(answer["stopReason"])

    @contextlib.contextmanager
    def killed_after(self, seconds: float) -> Iterator[None]:
        """Kill the agent after so many seconds, in the midst of the block or after it."""
        process = self._agent.process
        end = time.monotonic() + seconds
        killer = threading.Timer(seconds, process.kill)
        killer.start()
        try:
            with contextlib.suppress(EndedError, BrokenPipeError):
                yield
                killer.join()
        finally:
            killer.cancel()
            process.kill()
        self._agent.exit_code()
        texts = [one.message["params"]["update"] for one in self._new() if one.at < end - DURABLE_SECONDS]
        self.seen = "".join(
            update["content"]["text"] for update in texts if update["sessionUpdate"] == "agent_message_chunk"
        )

    def _new(self) -> list[Any]:
        return list(itertools.islice(received(self._agent, self._session), self._taken, None))
