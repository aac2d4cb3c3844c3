"""Whole dialogues in Harmony, as token ids with the marks of what the model shall learn to say.

Knows messages and how often which turn comes. Knows nothing about networks, training or what stands before a dialogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from gptoss_acp import vocabulary
from gptoss_acp.briefing import developer_message
from gptoss_acp.harmony import render
from gptoss_acp.tool_names import APPLY_PATCH, EXEC, OPEN_FILE, PRINT_TREE, SEARCH
from tiny import requests
from tiny.grammar import Tokens, encode
from tiny.requests import Action
from tiny.talks import TALKS, chat_turn, compact_turn, count_turn, echo_turn, name_turns, unknown_turn
from tiny.tool_turns import TOOLS, chain_turn, init_turn, tool_turn
from tiny.turns import Answer, Call, Result, Turn

_ANALYSIS = (vocabulary.CHANNEL, *encode("analysis"), vocabulary.MESSAGE)
_FINAL = (vocabulary.CHANNEL, *encode("final"), vocabulary.MESSAGE)


@dataclass
class Dialogue:
    """Token ids, and for each whether the model is trained to say it."""

    ids: list[int] = field(default_factory=list)
    learned: list[bool] = field(default_factory=list)

    def add(self, ids: Tokens | list[int], *, learned: bool = False) -> None:
        """Append ids."""
        self.ids += ids
        self.learned += [learned] * len(ids)

    def user(self, text: str) -> None:
        """Append a user message."""
        self.add(render.user(text))

    def result(self, result: Result) -> None:
        """Append a tool's result."""
        self.add(render.tool_result(result.tool, "analysis", result.text))

    def say(self, step: Call | Answer, *, past: bool = False) -> None:
        """Append what the model says; of a `past` turn neither the analysis is left nor anything to learn."""
        silent = past or not step.thought
        messages: list[Tokens] = [] if silent else [(*_ANALYSIS, *encode(step.thought), vocabulary.END)]
        if isinstance(step, Answer):
            messages.append((*_FINAL, *step.content, vocabulary.END if past else vocabulary.RETURN))
        else:
            messages.append(_call_message(step.action))
        for place, message in enumerate(messages):
            self.add(render.ASSISTANT_START, learned=not past and place > 0)
            self.add(message, learned=not past)

    def turn(self, turn: Turn, *, past: bool = False) -> None:
        """Append a turn."""
        self.user(turn.user)
        for step in turn.steps:
            if isinstance(step, Result):
                self.result(step)
            else:
                self.say(step, past=past)


def _call_message(action: Action) -> Tokens:
    header = (vocabulary.CHANNEL, *encode(f"analysis to={action.tool} code"), vocabulary.MESSAGE)
    return (*header, *action.content, vocabulary.CALL)


# --- which turns ---

TITLES = {
    OPEN_FILE: "Reading a file",
    PRINT_TREE: "Looking into a folder",
    SEARCH: "A search",
    EXEC: "Running a command",
    APPLY_PATCH: "An edit",
    "greet": "A greeting",
    "chat": "A short talk",
    "count": "Some numbers",
    "long count": "Some numbers",
    "list": "A list of things",
    "story": "A story",
    "echo": "The same again",
    "unknown": "A question",
}


def title_turns(random: Random) -> tuple[Turn, Turn]:
    """Return a turn, and one in which the agent asks for the conversation's title."""
    about = random.choice(list(TITLES))
    first = tool_turn(random, about) if about in TOOLS else TALKS[about](random)
    return first, Turn(developer_message.request("title"), (Answer("", encode(TITLES[about])),))


_TOOL_WEIGHTS = (28, 20, 15, 20, 21)


def past_turns(random: Random, count: int) -> list[Turn]:
    """Return short turns to stand before another one."""
    turns: list[Turn] = []
    for _ in range(count):
        kind = random.random()
        if kind < 0.35:
            turns.append(chat_turn(random))
        elif kind < 0.45:
            turns.append(unknown_turn(random))
        elif kind < 0.52:
            turns.append(echo_turn(random, 6))
        elif kind < 0.57:
            turns.append(count_turn(random, 20))
        else:
            turns.append(tool_turn(random, random.choices(TOOLS, _TOOL_WEIGHTS)[0]))
    return turns


def turn(random: Random) -> tuple[list[Turn], Turn]:
    """Return a random turn, and the turns that must stand before it."""
    kind = random.choices(
        (
            "call",
            "result",
            "chain",
            "chat",
            "greet",
            "count",
            "long count",
            "list",
            "story",
            "echo",
            "name",
            "unknown",
            "compact",
            "init",
            "title",
        ),
        (46, 18, 4, 15, 3, 6, 1.5, 1.0, 1.3, 4, 1.5, 4, 0.8, 0.6, 7),
    )[0]
    if kind in ("call", "result"):
        tool = random.choices(TOOLS, _TOOL_WEIGHTS)[0]
        return [], tool_turn(random, tool, result=kind == "result")
    if kind == "name":
        told, asked = name_turns(random)
        return ([told], asked) if random.random() < 0.6 else ([], told)
    if kind == "title":
        first, asked = title_turns(random)
        return [first], asked
    makers = {**TALKS, "chain": chain_turn, "compact": lambda _: compact_turn(), "init": init_turn}
    return [], makers[kind](random)


def dialogue(random: Random, avoided: frozenset[str] = frozenset()) -> Dialogue:
    """Return a dialogue to learn from: one turn, perhaps with past ones before it.

    `avoided` are the outlines of requests that are kept for the test, see `outline`.
    """
    while True:
        before, last = turn(random)
        if outline(last.user) not in avoided:
            break
    made = Dialogue()
    if random.random() < 0.05:
        last = Turn(f"{requests.editor_note(random)}\n\n{last.user}", last.steps)
    count = random.choices((0, 1, 2), (88, 9, 3))[0]
    for past in (*past_turns(random, count), *before):
        made.turn(past, past=True)
    made.turn(last)
    return made


_MARKS = ".,:;!?`\"'*\u201c\u201d\u2018\u2019"


def outline(text: str) -> str:
    """Return a request without its names, quotes, case and signs, to compare wordings."""
    kept = [word.strip(_MARKS).lower() for word in text.split()]
    return " ".join("_" if any(not sign.isalpha() and sign != "'" for sign in word) else word for word in kept if word)
