"""`gptoss-acp chat` at a terminal: the real program, typed to, and what it samples played to it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest
from acp.schema import ResourceContentBlock
from rich.console import Console

from gptoss_acp.cli import chat
from gptoss_acp.cli.markdown import Markdown
from gptoss_acp.cli.terminal_face import _complete_blocks
from tests.support.agent_process import COMMAND, private_environment
from tests.support.project import write
from tests.support.thoughts import untimed
from tests.support.tokens import final, numbers, preamble, said, text_of, thought, tool_call

pytestmark = pytest.mark.timeout(180)  # the program is started anew, on a machine that may have more to do

SECONDS = 60
READS = tool_call("functions.read_file", '{"path": "a.txt"}')
EDITS = tool_call(
    "functions.apply_patch", "*** Begin Patch\n*** Update File: a.txt\n@@\n-hello\n+good bye\n*** End Patch"
)
_CONTROLS = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>])|[\r\x08]")

Chat = Callable[..., "Terminal"]


class Terminal:
    """The program in a terminal of so many columns."""

    def __init__(self, work: Path, arguments: Sequence[str], columns: int) -> None:
        environment = {**private_environment(work.parent / "home"), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.program = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *arguments],
            cwd=str(work),
            env=environment,
            dimensions=(40, columns),
            encoding="utf-8",
            timeout=SECONDS,
        )
        self._columns = columns
        self._shown = ""
        self._seen = 0

    def wait_for(self, text: str) -> None:
        """Return when a text is shown, in whatever colours, and wherever lines are broken in it."""
        until = time.monotonic() + SECONDS
        while (place := _plain(self._shown).find(_plain(text), self._seen)) < 0:
            assert time.monotonic() < until, _plain(self._shown)[self._seen :]
            self._read()
        self._seen = place + len(_plain(text))

    def _read(self) -> None:
        with contextlib.suppress(pexpect.TIMEOUT):
            self._shown += self.program.read_nonblocking(4096, timeout=1)

    def lines(self) -> list[str]:
        """Return what a person sees, had the terminal any number of lines."""
        screen = pyte.Screen(self._columns, 500)
        pyte.Stream(screen).feed(self._shown)
        return [line.rstrip() for line in screen.display]

    def say(self, text: str) -> None:
        self.program.send(f"{text}\r")

    def end(self) -> str:
        """End the program as a user does, and return all that was shown."""
        self.program.send("\x04")
        assert self.wait() == 0, self._shown
        return _CONTROLS.sub("", self._shown)

    def wait(self) -> int:
        """Return the program's exit code, once it has ended."""
        with contextlib.suppress(pexpect.EOF):
            while True:
                self._read()
        self.program.close()
        assert self.program.exitstatus is not None
        return self.program.exitstatus


def _plain(shown: str) -> str:
    return "".join(_CONTROLS.sub("", shown).split())


def sessions(work: Path) -> list[dict[str, Any]]:
    """Return what is stored."""

    def printed(*arguments: str) -> str:
        environment = private_environment(work.parent / "home")
        command = [*COMMAND, "sessions", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    return [json.loads(printed("export", "--format", "json", line.split()[0])) for line in printed().splitlines()]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a.txt").write_text("hello\n")
    return tmp_path / "work"


@pytest.fixture
def talk(work: Path) -> Iterator[Chat]:
    begun: list[Terminal] = []

    def talking(generations: Sequence[Sequence[int]], *arguments: str, columns: int = 80, delay: float = 0) -> Terminal:
        script = work.parent / f"script-{len(begun)}.json"
        script.write_text(json.dumps({"generations": [list(ids) for ids in generations], "delay": delay}))
        begun.append(Terminal(work, ["--script", str(script), "chat", *arguments], columns))
        return begun[-1]

    yield talking
    for terminal in begun:
        terminal.program.close(force=True)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_what_is_said_and_done_is_shown(columns: int, talk: Chat) -> None:
    sentence = "It says that the rain in Spain stays mainly in the plain, whichever way the wind blows there"
    answer = final(f"{sentence}, **hello**, and `that` is all.\n\n- one\n\n~~~\n2\n\n2\n~~~\n\n- two\n")
    terminal = talk([said(thought("Hm."), preamble("Let me look."), READS), answer], columns=columns)
    terminal.wait_for("Ctrl-D ends.")
    terminal.say("What is in a.txt?")
    terminal.wait_for("Let me look.")
    terminal.wait_for("✓ Read a.txt")
    terminal.wait_for("and that is all.")
    terminal.wait_for("• two")
    terminal.end()
    lines = [untimed(line) for line in terminal.lines()]
    assert sentence in " ".join(" ".join(lines).split())  # no word is broken
    assert {"Thinking · 6 tokens", " • two", "✓ Read a.txt"} <= set(lines)
    assert not any(hidden in line for hidden in ("**", "~~~", "Traceback", "Hm.") for line in lines)


def test_a_change_is_shown_and_asked_about(talk: Chat, work: Path) -> None:
    terminal = talk([EDITS, final("Done."), EDITS, final("Not done.")])
    terminal.wait_for("Ctrl-D ends.")
    terminal.say("Change it")
    terminal.wait_for("-hello")
    terminal.wait_for("+good bye")
    terminal.wait_for("1 Allow once")
    terminal.wait_for("Which (1-3):")
    terminal.say("9")
    terminal.wait_for("Which (1-3):")
    terminal.say("1")
    terminal.wait_for("✓ Edit a.txt")
    terminal.wait_for("Done.")
    assert (work / "a.txt").read_text() == "good bye\n"
    (work / "a.txt").write_text("hello\n")
    terminal.say("Again")
    terminal.wait_for("Which (1-3):")
    terminal.say("3")
    terminal.wait_for("✗ Edit a.txt")
    terminal.wait_for("Not done.")
    terminal.end()
    assert (work / "a.txt").read_text() == "hello\n"


def cancel_and_go_on(terminal: Terminal) -> None:
    """Press Ctrl-C in a turn, and see that it ends and that the next one answers."""
    terminal.program.send("\x03")
    terminal.wait_for("Cancelled.")
    terminal.say("And now?")
    terminal.wait_for("Here again.")
    terminal.end()


def test_ctrl_c_cancels_the_turn_and_the_next_prompt_works(talk: Chat) -> None:
    terminal = talk([final(numbers(3000)), final("Here again.")], delay=0.005)
    terminal.wait_for("Ctrl-D ends.")
    terminal.say("Count")
    terminal.wait_for("10 11 12")
    cancel_and_go_on(terminal)


def test_a_question_that_is_cancelled_cancels_the_turn(talk: Chat, work: Path) -> None:
    terminal = talk([EDITS, final("Here again.")])
    terminal.wait_for("Ctrl-D ends.")
    terminal.say("Change it")
    terminal.wait_for("Which (1-3):")
    cancel_and_go_on(terminal)
    assert (work / "a.txt").read_text() == "hello\n"


def test_ctrl_c_cancels_also_a_turn_in_which_a_question_was_answered(talk: Chat) -> None:
    terminal = talk([EDITS, final(numbers(3000)), final("Here again.")], delay=0.005)
    terminal.wait_for("Ctrl-D ends.")
    terminal.say("Change it")
    terminal.wait_for("Which (1-3):")
    terminal.say("1")
    terminal.wait_for("10 11 12")
    cancel_and_go_on(terminal)


def test_slash_commands_and_mentions_are_as_in_an_editor(talk: Chat, work: Path) -> None:
    trace = work.parent / "trace"
    (work / "with blank.txt").touch()
    write(work / ".agents/commands/frobnicate.md", "Frobnicate it.")
    terminal = talk([final("Ok.")], "--trace", str(trace))
    terminal.wait_for("Ctrl-D ends.")
    terminal.program.send("/frob")
    terminal.program.send("\t")
    terminal.wait_for("> /frobnicate")
    terminal.program.send("\x03")
    terminal.say("/help")
    terminal.wait_for("/compact")
    terminal.wait_for("/effort")
    terminal.program.send('Explain @"with bl')
    terminal.program.send("\t")
    terminal.wait_for('Explain @"with blank.txt"')
    terminal.program.send("\x03")
    terminal.program.send("Explain @a.t")
    terminal.program.send("\t")
    terminal.wait_for("Explain @a.txt")
    terminal.say(" please")
    terminal.wait_for("Ok.")
    terminal.end()
    ids = map(int, trace.read_text().split("prompt ")[1].split("\n")[0].split())
    assert "Explain [a.txt](a.txt) please\n\na.txt\n```\nhello\n```" in text_of(list(ids))


def test_a_session_goes_on_and_is_shown_again(talk: Chat, work: Path) -> None:
    first = talk([final("My answer.")])
    first.wait_for("Ctrl-D ends.")
    first.say("My question")
    first.wait_for("My answer.")
    first.end()
    empty = talk([])
    empty.wait_for("Ctrl-D ends.")
    empty.say("exit")
    assert empty.wait() == 0
    again = talk([final("On it goes.")], "--continue")
    again.wait_for("> My question")
    again.wait_for("My answer.")
    again.say("Go on")
    again.wait_for("On it goes.")
    again.end()
    (stored,) = (session for session in sessions(work) if session["title"])
    assert stored["title"] == "My question"
    resumed = talk([], "--resume", stored["sessionId"][:8])
    resumed.wait_for("On it goes.")
    resumed.end()
    history = work.parent / "home/state/gptoss-acp/chat-history"
    assert "+My question" in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600


def test_a_question_of_the_models_is_answered_declined_and_cancelled(talk: Chat) -> None:
    asks = tool_call("functions.ask_user", '{"question": "Which colour?", "options": ["red", "blue"]}')
    terminal = talk([asks, final("As you say."), asks, final("So be it."), asks, final("Here again.")])
    terminal.wait_for("Ctrl-D ends.")
    for typed, answer in [(("7", "2", "a dark one"), "As you say."), (("", ""), "So be it.")]:
        terminal.say("Paint it")
        terminal.wait_for("Which colour?")
        terminal.wait_for("1  red")
        for line in typed:
            terminal.wait_for(": ")
            terminal.say(line)
        terminal.wait_for(answer)
    terminal.say("Paint it")
    terminal.wait_for("1-2, or empty:")
    cancel_and_go_on(terminal)
    assert any("The user answers: blue; a dark one" in line for line in terminal.lines())


def test_what_was_typed_before_a_question_does_not_answer_it(talk: Chat, work: Path) -> None:
    asks = tool_call("functions.ask_user", '{"question": "Which colour?", "options": ["red", "blue"]}')
    terminal = talk([said(thought("Hm. " * 30), EDITS), final("So be it."), asks, final("As you say.")], delay=0.02)
    terminal.wait_for("Ctrl-D ends.")
    terminal.program.send("Change it\r1\r")  # at once, as what is pasted
    terminal.wait_for("Thinking")
    terminal.say("1")
    terminal.wait_for("typed before this question is dropped")
    terminal.wait_for("Which (1-3):")
    assert (work / "a.txt").read_text() == "hello\n"
    terminal.say("3")
    terminal.wait_for("So be it.")
    terminal.program.send("Paint it\r2\r\r")
    terminal.wait_for("typed before this question is dropped")
    terminal.wait_for("1-2, or empty:")
    terminal.say("1")
    terminal.wait_for("Text, or empty:")
    terminal.say("")
    terminal.wait_for("As you say.")
    assert any("The user answers: red" in line for line in terminal.lines())


def test_what_a_terminal_would_obey_is_shown_in_its_place(talk: Chat, work: Path) -> None:
    trick = "\x1b]0;OWNED\x07"
    (work / "a.txt").write_text(f"{trick}\n")
    terminal = talk([READS, final(f"It says {trick}.")])
    terminal.wait_for("Ctrl-D ends.")
    terminal.say("What is in @a.txt?")
    terminal.wait_for(r"It says \u{1B}]0;OWNED\u{7}.")
    assert "\x1b]" not in terminal.end()


def test_a_session_goes_on_where_it_was_in_all_but_what_is_named_anew(talk: Chat, work: Path) -> None:
    (odd := work / "[/b]").mkdir(parents=True)
    first = talk([final("Here.")], "--cwd", str(odd))
    first.wait_for(f"gpt-oss in {odd}.")
    first.say("Where are you? @" + "x" * 300)
    first.wait_for("Here.")
    first.end()
    (stored,) = sessions(work)
    again = talk([final("Still here.")], "--resume", stored["sessionId"], "--effort", "high")
    again.wait_for(f"gpt-oss in {odd}.")
    again.say("And now?")
    again.wait_for("Still here.")
    again.end()
    (resumed,) = sessions(work)
    assert (resumed["cwd"], resumed["config"]) == (str(odd), {"mode": "ask", "effort": "high"})


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--continue",), "there is no session in"),
        (("--resume", "abc"), "no session begins with abc"),
        (("--cwd", "nowhere"), "nowhere is no folder"),
    ],
)
def test_what_is_wrong_on_the_line_is_said(arguments: tuple[str, ...], problem: str, talk: Chat) -> None:
    terminal = talk([], *arguments)
    terminal.wait_for(f"gptoss-acp: {problem}")
    assert terminal.wait() == 2


def test_started_by_hand_the_agent_says_what_it_is_and_speaks_the_protocol_all_the_same(work: Path) -> None:
    terminal = Terminal(work, ["--model", "tiny"], 80)
    terminal.wait_for("gptoss-acp is started by an editor")
    terminal.wait_for("`gptoss-acp chat`")
    terminal.say('{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}')
    terminal.wait_for('"protocolVersion":1,"agentInfo"')
    terminal.program.send("\x04")
    assert terminal.wait() == 0


def test_without_a_model_it_says_what_to_do(work: Path) -> None:
    terminal = Terminal(work, ["chat", "--model", "openai/gpt-oss-20b"], 80)
    terminal.wait_for("Run `gptoss-acp setup` first.")
    assert terminal.wait() == 1


@pytest.mark.parametrize(
    ("said", "complete"),
    [
        ("One.\n\nTwo.", "One.\n\n"),
        ("- a\n\n- b\n", ""),
        ("- a\n\n- b\n\nAnd", "- a\n\n- b\n\n"),
        ("~~~\na\n\nb\n", ""),
        ("````\n```\n\nb\n", ""),
        ("````\n```\n\nb\n````\nAnd", "````\n```\n\nb\n````\n"),
    ],
)
def test_only_what_nothing_can_change_any_more_is_shown_for_good(said: str, complete: str) -> None:
    assert _complete_blocks(said) == (complete, said.removeprefix(complete))


def test_no_word_of_a_table_is_lost_in_a_narrow_terminal() -> None:
    console = Console(width=20, file=io.StringIO())
    console.print(Markdown(f"| {'a' * 30} | {'b' * 30} |\n|---|---|\n| 1 | 2 |\n"))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert (shown.count("a"), shown.count("b")) == (30, 30)


@pytest.mark.parametrize("name", ["a.txt", "with blank.txt", "no\u00a0break", "tab\there", "it's", 'say"so'])
def test_a_name_that_is_completed_is_understood(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    mention = chat._mention(name)
    assert mention is not None
    (block,) = chat.blocks(mention, tmp_path)
    assert isinstance(block, ResourceContentBlock)
    assert block.name == name


def test_what_is_typed_becomes_blocks(tmp_path: Path) -> None:
    for name in ("a.txt", "with blank.txt"):
        (tmp_path / name).touch()
    os.mkdir(tmp_path / "src")  # noqa: PTH102
    typed = 'See @a.txt and @"with blank.txt" in @src, not a@b.c nor @gone'
    kinds = [(block.type, getattr(block, "text", None) or block.name) for block in chat.blocks(typed, tmp_path)]
    assert kinds == [
        ("text", "See "),
        ("resource_link", "a.txt"),
        ("text", " and "),
        ("resource_link", "with blank.txt"),
        ("text", " in "),
        ("resource_link", "src"),
        ("text", ", not a@b.c nor @gone"),
    ]
