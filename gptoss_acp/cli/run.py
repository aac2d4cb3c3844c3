"""`gptoss-acp run`: one prompt, for scripts. The answer goes to stdout, what is done for it to stderr.

Asks nothing, and refuses what needs a question.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import orjson

from gptoss_acp import server
from gptoss_acp.agent import prompt_response
from gptoss_acp.cli import local
from gptoss_acp.engine.api import EngineError, ModelMissingError
from gptoss_acp.store import StoreError
from gptoss_acp.text import fenced, visible
from gptoss_acp.tools.question import REJECT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gptoss_acp.protocol.shapes import PermissionOption, ToolCallState, Update
    from gptoss_acp.session import Session
    from gptoss_acp.settings import Settings
    from gptoss_acp.turn import Outcome

ANSWERED, FAILED, USAGE, REFUSED, CANCELLED = 0, 1, 2, 3, 130
"""Exit codes; `REFUSED`: there is no answer, and something was refused."""

LONGEST_INPUT = 60_000
"""Characters of standard input that the model is told."""


def run(chosen: Settings, given: argparse.Namespace) -> None:
    """Put the prompt, show the answer, and end the process."""
    server.set_up_logging(chosen.log_level)
    try:
        prompt = _prompt(given.prompt)
        cwd, servers = local.folder(given), local.mcp_servers(given)
    except ValueError as error:
        sys.exit(_told(str(error), USAGE))
    face = _JsonLines() if given.json else _Script()
    try:
        code = asyncio.run(_answer(local.without_titles(chosen), face, prompt, cwd, servers))
        sys.stdout.flush()
    except ModelMissingError as error:
        code = _told(f"{error} Run `gptoss-acp setup` first.", FAILED)
    except (EngineError, StoreError) as error:
        code = _told(str(error), FAILED)
    except BrokenPipeError:
        code = FAILED
    os._exit(code)  # MLX aborts where an orderly end comes while its threads still work


async def _answer(chosen: Settings, face: _Script, prompt: str, cwd: str, servers: Sequence[Any]) -> int:
    async with local.opened(chosen, lambda: face, cwd, servers) as session:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, session.cancel)
        outcome = await session.prompt(prompt)
        answer = _final(session)
        face.finish(answer, outcome)
        if outcome.stop_reason == "cancelled":
            return CANCELLED
        if answer is not None and outcome.stop_reason == "end_turn":
            return ANSWERED
        return REFUSED if face.refused else FAILED


def _final(session: Session) -> str | None:
    """Return what the model has answered last, if its turn ended with an answer."""
    entries = session.journal.ledger.entries
    return entries[-1].text if entries and entries[-1].channel == "final" else None


def _prompt(words: str | None) -> str:
    """Return the prompt, with what standard input has, if that is no terminal.

    Raises:
        ValueError: there is none.
    """
    given = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    if words is None and not given.strip():
        raise ValueError('there is no prompt: gptoss-acp run "what to do"')
    if words is None:
        return given
    if not given.strip():
        return words
    cut = f"\n(Only the first {LONGEST_INPUT:,} of {len(given):,} characters are shown.)"
    return f"{words}\n\nStandard input:\n{fenced(given[:LONGEST_INPUT])}{cut if len(given) > LONGEST_INPUT else ''}"


def _told(problem: str, code: int) -> int:
    print(f"gptoss-acp: {problem}", file=sys.stderr)
    return code


class _Script(local.Faceless):
    """Who reads the answer alone: what is done for it, and said before it, goes to stderr."""

    def __init__(self) -> None:
        self.refused = False
        self._titles: dict[str, str] = {}
        self._said: dict[str, str] = {}

    def update(self, update: Update) -> None:
        match update["sessionUpdate"]:
            case "agent_message_chunk":
                identifier = update["messageId"]
                self._said[identifier] = self._said.get(identifier, "") + update["content"]["text"]
            case "tool_call" | "tool_call_update":
                self._tell_said()
                identifier = update["toolCallId"]
                self._titles[identifier] = update.get("title") or self._titles.get(identifier, "")
                if update.get("status") in {"completed", "failed"}:
                    print(f"- {visible(self._titles[identifier])}: {update['status']}", file=sys.stderr)

    async def ask(self, tool_call: ToolCallState, options: Sequence[PermissionOption]) -> str:
        self.refused = True
        offered = ", ".join(option["optionId"] for option in options)
        print(f"- refused, for nobody can be asked: {tool_call['title']} ({offered})", file=sys.stderr)
        return REJECT

    def finish(self, answer: str | None, outcome: Outcome) -> None:
        """Show how it has ended."""
        if answer is not None:
            for identifier in [name for name, said in self._said.items() if said == answer]:
                del self._said[identifier]
            print(answer)
        self._tell_said()
        if outcome.stop_reason != "end_turn" or outcome.notice:
            print(f"gptoss-acp: {outcome.notice or outcome.stop_reason}", file=sys.stderr)

    def _tell_said(self) -> None:
        for said in self._said.values():
            print(said.rstrip(), file=sys.stderr)
        self._said.clear()


class _JsonLines(_Script):
    """A program that reads ACP's updates, a line each, and at last the answer to the prompt."""

    def update(self, update: Update) -> None:
        _print_json(update)

    def finish(self, answer: str | None, outcome: Outcome) -> None:
        _print_json({**prompt_response(outcome), "answer": answer})


def _print_json(value: Any) -> None:
    print(orjson.dumps(value).decode(), flush=True)
