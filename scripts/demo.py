"""What the agent does with the bundled model, offline, started as an editor would start it.

First a short conversation, then a bug to fix in a scratch folder: what the model makes of that is shown as it is, and
fails nothing. Knows the agent only as an ACP client does: a process to start, requests, updates. Imports nothing of the
package.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import acp
from acp.schema import (
    AgentMessageChunk,
    AllowedOutcome,
    ContentToolCallContent,
    FileEditToolCallContent,
    Implementation,
    PermissionOption,
    PromptResponse,
    RequestPermissionResponse,
    TextContentBlock,
    ToolCallProgress,
    ToolCallStart,
)

AGENT = (str(Path(sys.executable).with_name("gptoss-acp")), "--model", "tiny")
STARTING_SECONDS = 120
ANSWER_SECONDS = 300

COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ
BOLD, DIM, RED, GREEN, PLAIN = (f"\033[{code}m" if COLOURS else "" for code in (1, 2, 31, 32, 0))


@dataclass(frozen=True)
class Question:
    """A prompt, and after how many chunks of its answer, or how many seconds, to cancel it."""

    prompt: str
    cancel_after: int | None = None
    patience: float | None = None


CONVERSATION = (
    Question("Hello"),
    Question("Count to 100"),
    Question("Count to 90", cancel_after=60),
    Question("Hello"),
)

WRONG, RIGHT = "91", "19"
FILES = {
    "main.py": """from pathlib import Path

tax = int(Path("tax.txt").read_text())
price = 100 + 100 * tax // 100
print("with tax:", price)
assert price == 119, "the tax is wrong"
""",
    "tax.txt": f"{WRONG}\n",
}
FIXED = {**FILES, "tax.txt": f"{RIGHT}\n"}
WORK = (
    Question("Run `python3 main.py`", patience=90),
    Question("Read tax.txt", patience=90),
    Question(f"Replace {WRONG} with {RIGHT} in tax.txt", patience=90),
    Question("Run `python3 main.py`", patience=90),
)
MOST_LINES = 12
"""Lines of a tool's result that are shown."""


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
    """The client's side of the connection, as much as is needed here: prints what the agent does, and answers it.

    Where `allows` says so, permission is given once for an edit and for the command that was asked for; else never.
    """

    def __init__(self) -> None:
        self._chunks = 0
        self._question = Question("")
        self._in_line = False
        self._shown: dict[str, dict[str, Any]] = {}
        self.allows = False
        self.first_chunk: float | None = None
        self.half_way = asyncio.Event()

    def expect(self, question: Question) -> None:
        """Make ready for the next answer; `half_way` is set when `cancel_after` chunks of it have come."""
        self._chunks, self._question, self.first_chunk = 0, question, None
        self.half_way.clear()

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line of its own."""
        print(("\n" if self._in_line else "") + (style + text + PLAIN if style else text), flush=True)
        self._in_line = False

    async def session_update(self, update: Any, **_: Any) -> None:
        if isinstance(update, AgentMessageChunk) and isinstance(update.content, TextContentBlock):
            self._stream(update.content.text)
        if isinstance(update, ToolCallStart | ToolCallProgress):
            call = self._shown.setdefault(update.tool_call_id, {})
            call |= {name: getattr(update, name) for name in ("title", "content") if getattr(update, name) is not None}
            if update.status in {"completed", "failed"}:
                self._show(call, update.status)

    async def request_permission(
        self, tool_call: Any, options: list[PermissionOption], **_: Any
    ) -> RequestPermissionResponse:
        """Show what the agent asks leave for, and answer in the user's place."""
        self.line(f"? {tool_call.title}", BOLD)
        for content in tool_call.content or ():
            if isinstance(content, FileEditToolCallContent):
                self._show_diff(content)
        asked_for = tool_call.kind == "edit" or tool_call.title in self._question.prompt
        wanted = "allow_once" if self.allows and asked_for else "reject_once"
        chosen = next(option for option in options if option.kind == wanted)
        self.line(f"  {' / '.join(option.name for option in options)}?")
        self.line(f"  The demo answers for you: {chosen.name}", BOLD)
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=chosen.option_id))

    def _stream(self, text: str) -> None:
        self.first_chunk = self.first_chunk or time.perf_counter()
        self._chunks += 1
        print(text, end="", flush=True)
        self._in_line = not text.endswith("\n")
        if self._chunks == self._question.cancel_after:
            self.half_way.set()

    def _show(self, call: dict[str, Any], status: str) -> None:
        self.line(f"* {call['title']}: {status}", BOLD)
        for content in call.get("content", ()):
            if isinstance(content, ContentToolCallContent) and isinstance(content.content, TextContentBlock):
                lines = content.content.text.splitlines()
                for text in lines[:MOST_LINES]:
                    self.line(f"  {text}", DIM)
                if len(lines) > MOST_LINES:
                    self.line(f"  ({len(lines) - MOST_LINES} more lines)", DIM)

    def _show_diff(self, diff: FileEditToolCallContent) -> None:
        before, after = (diff.old_text or "").splitlines(), (diff.new_text or "").splitlines()
        name = Path(diff.path).name
        for text in difflib.unified_diff(before, after, name, name, lineterm=""):
            self.line(f"  {text}", GREEN if text[0] == "+" else RED if text[0] == "-" else "")


async def converse(questions: Sequence[Question], *, work: bool = False) -> list[Answer]:
    """Start the agent, put the questions to it in one session, with `work` those about the bug in another.

    Raises:
        DemoError: it did not start, died, or answered wrongly.
    """
    screen = Screen()
    try:
        with tempfile.TemporaryDirectory() as data:
            # The sessions of a demo are none of the user's.
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", "XDG_DATA_HOME": data}
            async with acp.spawn_agent_process(
                cast(acp.Client, screen), *AGENT, env=environment, transport_kwargs={"stderr": None, "limit": 2**20}
            ) as (agent, process):
                try:
                    async with asyncio.timeout(STARTING_SECONDS):
                        session = await start(agent)
                    answers = [await ask(agent, session, question, screen) for question in questions]
                    check(answers)
                    return answers + (await fix(agent, screen) if work else [])
                except ConnectionError as error:
                    raise DemoError(f"The agent died, with exit code {await process.wait()}.") from error
    except acp.RequestError as error:
        raise DemoError(f"The agent answered with an error: {error}") from error
    except TimeoutError as error:
        raise DemoError("The agent did not answer in time.") from error
    except OSError as error:
        raise DemoError(f"The agent could not be started: {error}") from error


async def start(agent: Any) -> str:
    """Open a session, and return its id."""
    spawned = time.perf_counter()
    client = Implementation(name="demo", version="1")
    ready = await agent.initialize(protocol_version=acp.PROTOCOL_VERSION, client_info=client)
    answered = time.perf_counter()
    session = await agent.new_session(cwd=str(Path.cwd()), mcp_servers=[])
    print(f"{DIM}{ready.agent_info.name} {ready.agent_info.version} answered after {answered - spawned:.2f} s{PLAIN}")
    return str(session.session_id)


async def fix(agent: Any, screen: Screen) -> list[Answer]:
    """Let the agent fix a bug in a folder made for that, and say what has come of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in FILES.items():
            (folder / file).write_text(content, "utf-8")
        screen.line(f"\nA scratch folder holds a program and its tax, which is {WRONG} and should be {RIGHT}.", BOLD)
        screen.allows = True
        session = (await agent.new_session(cwd=name, mcp_servers=[])).session_id
        answers = [await ask(agent, session, question, screen) for question in WORK]
        screen.line(f"\n{verdict(folder)}", BOLD)
    return answers


def verdict(folder: Path) -> str:
    """Return what has become of the bug."""
    now = {file: (folder / file).read_text("utf-8") for file in FILES if (folder / file).exists()}
    if now == FIXED:
        return f"The bug is fixed: tax.txt says {RIGHT} now."
    changed = "all is as it was" if now == FILES else "something else was changed"
    return f"The bug is not fixed: {changed}. The bundled model is very small."


async def ask(agent: Any, session: str, question: Question, screen: Screen) -> Answer:
    """Prompt, print the answer as it streams, cancel it where the question says so."""
    screen.line(f"\n{BOLD}> {question.prompt}{PLAIN}")
    screen.expect(question)
    sent = time.perf_counter()
    cancelled: float | None = None
    prompt = asyncio.create_task(agent.prompt(session_id=session, prompt=[acp.text_block(question.prompt)]))
    half_way = asyncio.create_task(screen.half_way.wait())
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            waiting = {prompt, half_way}
            await asyncio.wait(waiting, timeout=question.patience, return_when=asyncio.FIRST_COMPLETED)
            if not prompt.done():
                cancelled = time.perf_counter()
                await agent.cancel(session_id=session)
            response: PromptResponse = await prompt
    finally:
        half_way.cancel()
        prompt.cancel()
    answered = time.perf_counter()
    screen.line(f"[{response.stop_reason}]", DIM)
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


def check(answers: Sequence[Answer]) -> None:
    for answer in answers:
        question = answer.question
        expected = "end_turn" if question.cancel_after is None else "cancelled"
        if answer.stop_reason != expected:
            raise DemoError(f"{question.prompt!r} ended with {answer.stop_reason} instead of {expected}.")
        if answer.first_visible_ms is None:
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
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("prompt", nargs="*", help="ask only this")
    given = " ".join(parser.parse_args().prompt)
    try:
        answers = asyncio.run(converse([Question(given)] if given else CONVERSATION, work=not given))
    except DemoError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"\n{table(answers)}")


if __name__ == "__main__":
    main()
