"""The frozen tests: what is asked, and what is right.

Requests from the training grammar with another seed; `heldout.jsonl`, whose wordings were written before the first
training and are kept out of it; and a few whole conversations. Knows nothing about networks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from gptoss_acp.harmony import encoding, render
from gptoss_acp.tool_names import APPLY_PATCH, EXEC, OPEN_FILE, PRINT_TREE, SEARCH
from tiny import dialogues, talks, tool_turns
from tiny.dialogues import Dialogue, outline
from tiny.grammar import Tokens
from tiny.turns import Answer, Call, Result, Turn

SEED = 99_000_001


@dataclass(frozen=True)
class Case:
    """A prompt, and what is right: a call of `tool` with `content`, or a final answer with `content` in it.

    `given` is what the agent has begun the answer with.
    """

    kind: str
    shown: str
    prompt: list[int]
    tool: str | None
    content: str
    exact: bool = True
    given: Tokens = ()


def outlines() -> frozenset[str]:
    """Return the outlines of the frozen requests for tools, which training must avoid."""
    return frozenset(outline(case["user"]) for case in _frozen() if case["tool"])


def unseen_wording() -> list[Case]:
    """Return the frozen prompts of heldout.jsonl."""
    cases = []
    for case in _frozen():
        tool = case["tool"]
        content = json.dumps(case["arguments"]) if tool else case["answer"]
        kind = tool or case.get("kind", "chat")
        cases.append(Case(kind, case["user"], _prompt(case["user"]), tool, content, exact=tool is not None))
    return cases


def from_grammar(seed: int = SEED) -> list[Case]:
    """Return fresh prompts from the training grammar."""
    random = Random(seed)
    cases: list[Case] = []
    for tool, count in ((OPEN_FILE, 40), (PRINT_TREE, 40), (EXEC, 40), (SEARCH, 40), (APPLY_PATCH, 30)):
        cases += [_case(tool, tool_turns.tool_turn(random, tool, result=False)) for _ in range(count)]
    for _ in range(24):
        turn = tool_turns.tool_turn(random, random.choice(tool_turns.TOOLS), result=False)
        cases.append(_case("after history", turn, dialogues.past_turns(random, random.randint(1, 5))))
    for _ in range(40):
        cases.append(_case("after a result", tool_turns.tool_turn(random, random.choice(tool_turns.TOOLS))))
    for _ in range(12):
        turn = tool_turns.chain_turn(random)
        calls = [place for place, step in enumerate(turn.steps) if isinstance(step, Call)]
        cases.append(_case("chain", Turn(turn.user, turn.steps[: calls[1] + 1]) if len(calls) > 1 else turn))
    for kind, maker, count in _WITHOUT_TOOLS:
        cases += [_case(kind, maker(random)) for _ in range(count)]
    numbers = ", ".join(str(number) for number in range(1, 101))
    cases += [Case("count to 100", text, _prompt(text), None, numbers) for text in _COUNT_TO_100]
    cases += [_title(random) for _ in range(24)]
    return cases


_WITHOUT_TOOLS: tuple[tuple[str, Callable[[Random], Turn], int], ...] = (
    ("chat", talks.chat_turn, 40),
    ("greeting", talks.greeting_turn, 12),
    ("count", talks.count_turn, 24),
    ("long count", talks.long_count_turn, 12),
    ("list", talks.list_turn, 5),
    ("story", talks.story_turn, 6),
    ("echo", talks.echo_turn, 12),
    ("unknown", talks.unknown_turn, 10),
)
_COUNT_TO_100 = (
    "Count to 100",
    "count to 100",
    "Count to 100.",
    "Please count to 100",
    "count from 1 to 100",
    "Can you count to 100?",
)


def _case(kind: str, turn: Turn, before: Sequence[Turn] = ()) -> Case:
    """Return the case in which the last step of `turn` is still to be said."""
    *steps, last = turn.steps
    if isinstance(last, Result):
        raise TypeError("a turn ends with what the model says")
    made = Dialogue()
    for past in before:
        made.turn(past, past=True)
    made.turn(Turn(turn.user, tuple(steps)))
    content = last.content if isinstance(last, Answer) else last.action.content
    tool = None if isinstance(last, Answer) else last.action.tool
    text = encoding.load().decode(list(content))
    return Case(kind, turn.user, [*made.ids, *render.ASSISTANT_START], tool, text)


def _title(random: Random) -> Case:
    """Return the case in which the agent asks for a title; it has begun the answer."""
    first, asked = dialogues.title_turns(random)
    return replace(_case("title", asked, [first]), shown=first.user, given=render.FINAL_START)


def _frozen() -> list[dict[str, Any]]:
    lines = (Path(__file__).parent / "heldout.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _prompt(text: str) -> list[int]:
    return [*render.user(text), *render.ASSISTANT_START]


CONVERSATIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "read, thank, leave": (
        ("user", "hello"),
        ("answer", "Hello"),
        ("user", "Read notes/todo.txt"),
        ("call", OPEN_FILE, '{"path":"notes/todo.txt"}'),
        ("result", "L1: buy milk\nL2: fix the parser"),
        ("answer", "buy milk"),
        ("user", "thanks!"),
        ("answer", "welcome"),
        ("user", "bye"),
        ("answer", "Goodbye"),
    ),
    "look around, then read": (
        ("user", "List the files"),
        ("call", PRINT_TREE, '{"path":"","depth":1}'),
        ("result", "README.md\nsrc/\ntests/"),
        ("answer", "README.md"),
        ("user", "Read README.md"),
        ("call", OPEN_FILE, '{"path":"README.md"}'),
        ("result", "L1: # Demo"),
        ("answer", "# Demo"),
        ("user", "run `pytest -q`"),
        ("call", EXEC, '{"command":["bash","-lc","pytest -q"]}'),
        ("result", "Exit code: 0\nOutput:\n3 passed in 0.1s"),
        ("answer", "3 passed"),
    ),
    "two things": (
        ("user", "Read src/main.py and then run `make test`"),
        ("call", OPEN_FILE, '{"path":"src/main.py"}'),
        ("result", "L1: import sys\nL2: print(sys.argv)"),
        ("call", EXEC, '{"command":["bash","-lc","make test"]}'),
        ("result", "Exit code: 2\nOutput:\nno rule to make target"),
        ("answer", "exit code 2"),
    ),
    "a refusal": (
        ("user", "Delete build.log"),
        ("call", APPLY_PATCH, r'{"patch":"*** Begin Patch\n*** Delete File: build.log\n*** End Patch"}'),
        ("result", "Error: the user refused this call."),
        ("answer", "You did not allow this"),
    ),
    "a failure": (
        ("user", "Open config.json please"),
        ("call", OPEN_FILE, '{"path":"config.json"}'),
        ("result", "Error: no such file: config.json"),
        ("answer", "no such file: config.json"),
    ),
    "a new file": (
        ("user", 'Create a file hello.txt with the text "hello world"'),
        ("call", APPLY_PATCH, r'{"patch":"*** Begin Patch\n*** Add File: hello.txt\n+hello world\n*** End Patch"}'),
        ("result", "Success. Updated the following files:\nA hello.txt"),
        ("answer", "Done"),
    ),
}
"""Title: what is said, called, returned and answered, in order."""
