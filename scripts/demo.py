"""A short conversation with the bundled model, offline, through the real agent as an editor would start it.

Knows the agent only as an ACP client does: a process to start, requests, updates. Imports nothing of the package.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import acp
from acp.schema import AgentMessageChunk, Implementation, PromptResponse, TextContentBlock

AGENT = (str(Path(sys.executable).with_name("gptoss-acp")), "--model", "tiny")
STARTING_SECONDS = 120
ANSWER_SECONDS = 300

COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if COLOURS else ("", "", "")


@dataclass(frozen=True)
class Question:
    """A prompt, and after how many chunks of its answer to cancel it."""

    prompt: str
    cancel_after: int | None = None


CONVERSATION = (
    Question("Hello"),
    Question("Count to 100"),
    Question("Count to 90", cancel_after=60),
    Question("Hello"),
)


@dataclass(frozen=True)
class Answer:
    """How a turn ended and what it took: the agent's own figures, and what this client saw."""

    question: Question
    stop_reason: str
    tokens: int
    first_token_ms: float | None
    first_visible_ms: float | None
    tokens_per_second: float | None
    cancel_ms: float | None


class DemoError(Exception):
    """Something that should have worked did not."""


class Screen:
    """The client's side of the connection, as much as is needed here: prints what the agent streams."""

    def __init__(self) -> None:
        self._chunks = 0
        self._cancel_after: int | None = None
        self.first_chunk: float | None = None
        self.half_way = asyncio.Event()

    def expect(self, cancel_after: int | None) -> None:
        """Make ready for the next answer; `half_way` is set when `cancel_after` chunks of it have come."""
        self._chunks, self._cancel_after, self.first_chunk = 0, cancel_after, None
        self.half_way.clear()

    async def session_update(self, update: Any, **_: Any) -> None:
        if not isinstance(update, AgentMessageChunk) or not isinstance(update.content, TextContentBlock):
            return
        self.first_chunk = self.first_chunk or time.perf_counter()
        self._chunks += 1
        print(update.content.text, end="", flush=True)
        if self._chunks == self._cancel_after:
            self.half_way.set()


async def converse(questions: Sequence[Question]) -> list[Answer]:
    """Start the agent, put the questions to it in one session, and return its answers.

    Raises:
        DemoError: it did not start, died, or answered wrongly.
    """
    screen = Screen()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    try:
        async with acp.spawn_agent_process(
            cast(acp.Client, screen), *AGENT, env=environment, transport_kwargs={"stderr": None, "limit": 2**20}
        ) as (agent, process):
            try:
                async with asyncio.timeout(STARTING_SECONDS):
                    session = await start(agent)
                return [await ask(agent, session, question, screen) for question in questions]
            except ConnectionError as error:
                raise DemoError(f"The agent died, with exit code {await process.wait()}.") from error
    except acp.RequestError as error:
        raise DemoError(f"The agent answered with an error: {error}") from error
    except TimeoutError as error:
        raise DemoError("The agent did not answer in time.") from error
    except OSError as error:
        raise DemoError(f"The agent could not be started: {error}") from error


async def start(agent: Any) -> str:
    """Open a session, wait for the model, and return the session's id."""
    spawned = time.perf_counter()
    client = Implementation(name="demo", version="1")
    ready = await agent.initialize(protocol_version=acp.PROTOCOL_VERSION, client_info=client)
    answered = time.perf_counter()
    session = await agent.new_session(cwd=str(Path.cwd()), mcp_servers=[])
    await agent.authenticate(method_id=ready.auth_methods[0].id)
    loaded = time.perf_counter()
    print(
        f"{DIM}{ready.agent_info.name} {ready.agent_info.version} answered after {answered - spawned:.2f} s, "
        f"its model was loaded after {loaded - spawned:.1f} s{PLAIN}"
    )
    return str(session.session_id)


async def ask(agent: Any, session: str, question: Question, screen: Screen) -> Answer:
    """Prompt, print the answer as it streams, cancel it where the question says so."""
    print(f"\n{BOLD}> {question.prompt}{PLAIN}")
    screen.expect(question.cancel_after)
    sent = time.perf_counter()
    cancelled: float | None = None
    prompt = asyncio.create_task(agent.prompt(session_id=session, prompt=[acp.text_block(question.prompt)]))
    half_way = asyncio.create_task(screen.half_way.wait())
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await asyncio.wait({prompt, half_way}, return_when=asyncio.FIRST_COMPLETED)
            if half_way.done():
                cancelled = time.perf_counter()
                await agent.cancel(session_id=session)
            response: PromptResponse = await prompt
    finally:
        half_way.cancel()
        prompt.cancel()
    answered = time.perf_counter()
    print(f"\n{DIM}[{response.stop_reason}]{PLAIN}", flush=True)
    check(question, response, streamed=screen.first_chunk is not None)
    figures = (response.field_meta or {}).get("gptoss-acp", {})
    return Answer(
        question,
        response.stop_reason,
        response.usage.output_tokens if response.usage else 0,
        figures.get("timeToFirstTokenMs"),
        screen.first_chunk and (screen.first_chunk - sent) * 1000,
        figures.get("tokensPerSecond"),
        cancelled and (answered - cancelled) * 1000,
    )


def check(question: Question, response: PromptResponse, *, streamed: bool) -> None:
    expected = "end_turn" if question.cancel_after is None else "cancelled"
    if response.stop_reason != expected:
        raise DemoError(f"{question.prompt!r} ended with {response.stop_reason} instead of {expected}.")
    if not streamed:
        raise DemoError(f"{question.prompt!r} was answered with nothing.")


def table(answers: Sequence[Answer]) -> str:
    """Return the figures as aligned columns."""
    headings = ("prompt", "first token", "first visible", "tokens", "tokens/s", "ended", "cancel to answer")
    rows = [headings]
    for answer in answers:
        prompt = answer.question.prompt
        rows.append(
            (
                prompt if len(prompt) <= 32 else prompt[:29] + "...",
                shown(answer.first_token_ms, "ms"),
                shown(answer.first_visible_ms, "ms"),
                str(answer.tokens),
                shown(answer.tokens_per_second),
                answer.stop_reason,
                shown(answer.cancel_ms, "ms"),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"{BOLD}{lines[0]}{PLAIN}", *lines[1:]])


def shown(number: float | None, unit: str = "") -> str:
    return "-" if number is None else f"{number:.1f} {unit}".rstrip()


def main() -> None:
    given = " ".join(sys.argv[1:])
    try:
        answers = asyncio.run(converse([Question(given)] if given else CONVERSATION))
    except DemoError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"\n{table(answers)}")


if __name__ == "__main__":
    main()
