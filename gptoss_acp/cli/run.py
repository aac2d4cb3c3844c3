"""`gptoss-acp run`: one prompt, for scripts. The answer goes to stdout as it comes, what is done for it to stderr.

Asks nothing, and refuses what needs a question.
"""

from __future__ import annotations

import asyncio
import select
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from gptoss_acp import server
from gptoss_acp.agent import prompt_response
from gptoss_acp.cli import ending, local, streams
from gptoss_acp.protocol import shapes
from gptoss_acp.text import as_json, fenced, visible
from gptoss_acp.tools.question import REJECT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from gptoss_acp.protocol.params import Folders
    from gptoss_acp.protocol.shapes import AgentMessageChunk, PermissionOption, ToolCallState, Update
    from gptoss_acp.settings import Settings
    from gptoss_acp.turn import Outcome

LONGEST_INPUT = 60_000
"""Characters of standard input that the model is told, beside a prompt."""

MOST_READ = 16 * 2**20
"""Bytes of standard input that are read: of what has no end there must be one."""

PATIENCE = 2.0
"""Seconds without anything on standard input after which a person is told that it is waited for."""


def run(chosen: Settings, given: argparse.Namespace) -> None:
    """Put the prompt, show the answer, and end the process."""
    server.set_up_logging(chosen.log_level)
    try:
        prompt = _prompt(given.prompt or "")
        folders, servers = local.folders(given), local.mcp_servers(given)
    except ValueError as error:
        ending.usage(error)
    face = _JsonLines() if given.json else _Script()
    # A title would cost a model call, and nobody looks for it.
    ending.end_with(_answer(replace(chosen, titles="off"), face, prompt, folders, servers), chosen.model)


async def _answer(chosen: Settings, face: _Script, prompt: str, folders: Folders, servers: Sequence[Any]) -> int:
    work = asyncio.current_task()
    assert work is not None
    _on_signals(work.cancel)
    async with local.opened(chosen, face, folders, servers) as session:
        _on_signals(session.cancel)
        outcome = await session.prompt(prompt, blocks=[{"type": "text", "text": prompt}])
        face.finish(outcome, session.id)
    if outcome.stop_reason == "cancelled":
        return ending.CANCELLED
    if face.answer is not None and outcome.stop_reason == "end_turn":
        return ending.DONE
    return ending.REFUSED if face.refused else ending.FAILED


def _on_signals(act: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, act)


def _prompt(words: str) -> str:
    """Return the prompt, with what standard input has, if that is no terminal.

    Raises:
        ValueError: there is none.
    """
    given = _standard_input()
    if not words.strip() and not given.strip():
        raise ValueError('there is no prompt: gptoss-acp run "what to do"')
    if not words.strip():
        if len(given) >= MOST_READ:
            raise ValueError("standard input is too long for a prompt")
        return given
    if not given.strip():
        return words
    cut = ""
    if len(given) > LONGEST_INPUT:
        cut = f"\n(Only the first {LONGEST_INPUT:,} characters are shown; there are more.)"
        ending.told(f"of standard input, which has more, the model is told the first {LONGEST_INPUT:,} characters")
    return f"{words}\n\nStandard input:\n{fenced(given[:LONGEST_INPUT])}{cut}"


def _standard_input() -> str:
    """Return what comes on stdin, whatever the locale takes text for: UTF-8, and what is none as question marks."""
    if sys.stdin.isatty():
        return ""
    if not select.select([sys.stdin], [], [], PATIENCE)[0]:
        ending.told("waiting for standard input to end; with `< /dev/null` there is none")
    return sys.stdin.buffer.read(MOST_READ).decode("utf-8", "replace")


class _Messages:
    """Messages as they stream to a reader, each on lines of its own; blanks wait for what shows."""

    def __init__(self, stream: TextIO | streams.Unheeded, *, between: str = "", raw: bool = False) -> None:
        self._stream = stream
        self._between = between
        self._raw = raw
        self._message = ""
        self._waiting = ""
        self._is_begun = False
        self._has_ended = False

    def add(self, message: str, text: str) -> None:
        """Show the next piece of a message."""
        if message != self._message:
            self.end()
            self._message = message
        text = self._waiting + text
        shown = text.rstrip()
        self._waiting = text[len(shown) :]
        if shown:
            between = self._between if self._has_ended and not self._is_begun else ""
            self._is_begun = True
            print(between + (shown if self._raw else visible(shown)), end="", file=self._stream, flush=True)

    def end(self) -> None:
        """End the line of the message that is under way, if one is."""
        if self._is_begun:
            print(file=self._stream, flush=True)
            self._is_begun, self._has_ended = False, True
        self._message = self._waiting = ""


class _Script(local.Faceless):
    """Who reads the answer alone, as it comes: what is done for it, and said before it, goes to stderr.

    `answer` is the last one, which has more than blanks; `refused`: something was, because nobody can be asked.
    """

    def __init__(self) -> None:
        self.refused = False
        self.answer: str | None = None
        self._final = ""
        self._final_id = ""
        self._titles: dict[str, str] = {}
        self._answers = _Messages(sys.stdout, between="\n", raw=not sys.stdout.isatty())
        self._stderr = streams.Unheeded(sys.stderr)
        self._asides = _Messages(self._stderr)

    def update(self, update: Update) -> None:
        match update["sessionUpdate"]:
            case "agent_message_chunk":
                self._hear(update)
            case "agent_thought_chunk":
                self._say_aside(update["messageId"], update["content"]["text"])
            case "tool_call" | "tool_call_update":
                identifier = update["toolCallId"]
                self._titles[identifier] = update.get("title") or self._titles.get(identifier, "")
                if update.get("status") in {"completed", "failed"}:
                    self._tell(f"- {self._titles[identifier]}: {update['status']}")

    async def ask(self, tool_call: ToolCallState, options: Sequence[PermissionOption]) -> str:  # noqa: ARG002 (a face has them)
        self.refused = True
        self._tell(f"- refused, for nobody can be asked: {tool_call['title']}; --mode says what needs no question")
        return REJECT

    def finish(self, outcome: Outcome, session_id: str) -> None:  # noqa: ARG002 (for those who can go on with it)
        """Show how it has ended."""
        self._end_lines()
        if ended := local.how_it_ended(outcome):
            ending.told(ended)

    def _hear(self, chunk: AgentMessageChunk) -> None:
        identifier, text = chunk["messageId"], chunk["content"]["text"]
        if shapes.channel(chunk) == "final":
            self._note_answer(identifier, text)
            self._asides.end()
            self._answers.add(identifier, text)
        else:
            self._say_aside(identifier, text)

    def _say_aside(self, message: str, text: str) -> None:
        self._answers.end()
        self._asides.add(message, text)

    def _note_answer(self, identifier: str, text: str) -> None:
        self._final = self._final + text if identifier == self._final_id else text
        self._final_id = identifier
        if self._final.strip():
            self.answer = self._final

    def _tell(self, line: str) -> None:
        self._end_lines()
        print(visible(line), file=self._stderr, flush=True)

    def _end_lines(self) -> None:
        self._answers.end()
        self._asides.end()


class _JsonLines(_Script):
    """A program that reads ACP's updates, a line each, and at last the answer to the prompt."""

    def update(self, update: Update) -> None:
        if update["sessionUpdate"] == "agent_message_chunk" and shapes.channel(update) == "final":
            self._note_answer(update["messageId"], update["content"]["text"])
        _print_json(update)

    def finish(self, outcome: Outcome, session_id: str) -> None:
        _print_json({**prompt_response(outcome), "answer": self.answer, "sessionId": session_id})


def _print_json(value: Any) -> None:
    sys.stdout.buffer.write(as_json(value) + b"\n")  # JSON is UTF-8, whatever the locale takes text for
    sys.stdout.buffer.flush()
