"""Texts of a wanted length, and the ids that the product renders from a user's text.

The ids are taken from the product itself: its agent runs here once, with an engine that notes what it is given.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from benchmark.client import DIRECTORY, AgentProcess
from benchmark.figures import BenchError
from gptoss_acp import vocabulary
from gptoss_acp.engine.api import Constraint, Sampling
from gptoss_acp.engine.generation import Generation
from gptoss_acp.engine.scripted import ScriptedEngine
from gptoss_acp.handshake import Handshake
from gptoss_acp.harmony import encoding
from gptoss_acp.rpc import Connection
from gptoss_acp.settings import Settings

LONG_ANSWER = "Count to 100"

_WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "old", "lamps", "burn")


def text_of(tokens: int, seed: int = 0) -> str:
    """Return a text of exactly `tokens` tokens; each seed gives another, different from its first token on."""
    chosen = random.Random(seed)
    words = [chosen.choice(_WORDS) for _ in range(tokens)]
    ids = encoding.encode_text(f"{seed}: " + " ".join(words))
    return str(encoding.load().decode(ids[:tokens]))


def talkative(agent: AgentProcess, chunks: int) -> str:
    """Return a prompt that the model answers with at least `chunks` chunks of text.

    That is `LONG_ANSWER`, except that random weights may answer one prompt in reasoning only, and the next in text.
    """
    for text in (LONG_ANSWER, *(f"{number}. {LONG_ANSWER}" for number in range(1, 20))):
        if len(agent.prompt(agent.new_session(), text).chunks) >= chunks:
            return text
    raise BenchError(f"the model answers no prompt with {chunks} chunks of text")


def script(*answers: Sequence[int]) -> dict[str, Any]:
    """Return what a `--script` file holds: for each answer, its ids as a whole final message."""
    header = [vocabulary.CHANNEL, *encoding.encode_text("final"), vocabulary.MESSAGE]
    return {"generations": [[*header, *answer, vocabulary.RETURN] for answer in answers]}


def rendered(text: str) -> list[int]:
    """Return the ids that the model gets when `text` is the first prompt of a session."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.json"
        file.write_text(json.dumps(script(encoding.encode_text("Yes"))), encoding="utf-8")
        engine = _Recorder(file)
        asyncio.run(_prompt(engine, text))
    return engine.prompt


@cache
def opening() -> tuple[str, str]:
    """Return what every prompt begins with: the whole system message, and the text of the developer message."""
    whole = str(encoding.load().decode(rendered("")))
    system, developer, *_ = whole.split("<|start|>")[1:]
    return f"<|start|>{system}", developer.removeprefix("developer<|message|>").removesuffix("<|end|>")


class _Recorder(ScriptedEngine):
    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        branches: Sequence[int] = (),
        constraint: Constraint | None = None,
    ) -> Generation:
        self.prompt = list(prompt)
        return super().generate(prompt, sampling, branches, constraint)


class _NoClient:
    """A connection whose peer hears nothing."""

    congested = False

    def notify(self, *_: Any) -> None: ...

    def notify_text(self, *_: Any) -> None: ...


async def _prompt(engine: ScriptedEngine, text: str) -> None:
    handshake = Handshake(engine, Settings(model="tiny", titles="off"))
    handshake.attach(cast("Connection", _NoClient()))
    ask = handshake.requests
    await ask["initialize"]({"protocolVersion": 1})
    session = await ask["session/new"]({"cwd": str(DIRECTORY)})
    await ask["session/prompt"]({"sessionId": session["sessionId"], "prompt": [{"type": "text", "text": text}]})
