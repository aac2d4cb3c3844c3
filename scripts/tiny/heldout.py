"""The frozen tests: how often the model's Harmony, tool and argument are right.

Three sets: requests from the training grammar with another seed; `heldout.jsonl`, whose wordings were written before
the first training and are kept out of it; and a few whole conversations. All behind the agent's real messages, greedy.
Knows what is right. Knows nothing about training.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from openai_harmony import HarmonyError, Message, Role, StreamableParser

from gptoss_acp import vocabulary
from gptoss_acp.engine import bundled
from gptoss_acp.harmony import encoding, render
from gptoss_acp.harmony.render import Effort
from tiny import decoding, dialogues, prefixes
from tiny.dialogues import Answer, Call, Dialogue, Result, Turn, outline
from tiny.requests import APPLY_PATCH, EXEC, OPEN_FILE, PRINT_TREE, SEARCH

EFFORT: Effort = "medium"
SEED = 99_000_001
LONGEST_CALL, LONGEST_ANSWER = 200, 700
ROWS = 48


@dataclass(frozen=True)
class Case:
    """A prompt, and what is right: a call of `tool` with `content`, or a final answer with `content` in it."""

    kind: str
    shown: str
    prompt: list[int]
    tool: str | None
    content: str
    exact: bool = True


def prefix(*, has_tools: bool) -> list[int]:
    """Return the agent's real system and developer messages."""
    return prefixes.real_prefix("/home/dev/workspace", date(2026, 11, 22), EFFORT, has_tools=has_tools)


def outlines() -> frozenset[str]:
    """Return the outlines of the frozen requests for tools, which training must avoid."""
    return frozenset(outline(case["user"]) for case in _frozen() if case["tool"])


def unseen_wording() -> list[Case]:
    """Return the frozen prompts of heldout.jsonl."""
    cases = []
    for case in _frozen():
        tool = case["tool"]
        content = json.dumps(case["arguments"]) if tool else case["answer"]
        cases.append(
            Case(
                f"unseen {tool or 'chat'}",
                case["user"],
                _prompt(case["user"]),
                tool,
                content,
                exact=tool is not None,
            )
        )
    return cases


def from_grammar(seed: int = SEED) -> list[Case]:
    """Return fresh prompts from the training grammar."""
    random = Random(seed)
    cases: list[Case] = []
    for tool, count in ((OPEN_FILE, 40), (PRINT_TREE, 40), (EXEC, 40), (SEARCH, 40), (APPLY_PATCH, 30)):
        cases += [_case(tool, dialogues.tool_turn(random, tool, result=False)) for _ in range(count)]
    for _ in range(24):
        turn = dialogues.tool_turn(random, random.choice(dialogues.TOOLS), result=False)
        cases.append(_case("after history", turn, dialogues.past_turns(random, random.randint(1, 5))))
    for _ in range(40):
        cases.append(_case("after a result", dialogues.tool_turn(random, random.choice(dialogues.TOOLS))))
    for _ in range(12):
        turn = dialogues.chain_turn(random)
        calls = [place for place, step in enumerate(turn.steps) if isinstance(step, Call)]
        cases.append(_case("chain", Turn(turn.user, turn.steps[: calls[1] + 1]) if len(calls) > 1 else turn))
    for kind, maker, count in _WITHOUT_TOOLS:
        cases += [_case(kind, maker(random)) for _ in range(count)]
    numbers = ", ".join(str(number) for number in range(1, 101))
    cases += [Case("count to 100", text, _prompt(text), None, numbers) for text in _COUNT_TO_100]
    return cases


_WITHOUT_TOOLS: tuple[tuple[str, Callable[[Random], Turn], int], ...] = (
    ("chat", dialogues.chat_turn, 40),
    ("greeting", dialogues.greeting_turn, 12),
    ("count", dialogues.count_turn, 24),
    ("long count", dialogues.long_count_turn, 12),
    ("list", dialogues.list_turn, 5),
    ("story", dialogues.story_turn, 6),
    ("echo", dialogues.echo_turn, 12),
    ("unknown", dialogues.unknown_turn, 10),
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


def _frozen() -> list[dict[str, Any]]:
    lines = (Path(__file__).parent / "heldout.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _prompt(text: str) -> list[int]:
    return [*render.user(text), *render.ASSISTANT_START]


# --- judging ---


@dataclass(frozen=True)
class Verdict:
    """What is right about an output; None where it does not apply."""

    well_formed: bool
    right_tool: bool
    valid_json: bool | None
    right_content: bool
    said: str


def judge(case: Case, said: list[int]) -> Verdict:
    """Compare an output with what is right."""
    messages = _messages(said)
    if not messages:
        return Verdict(False, False, None, False, encoding.load().decode(said))
    last = messages[-1]
    text = last.content[0].to_dict().get("text", "")
    called = last.recipient
    ended = vocabulary.CALL if called else vocabulary.RETURN
    well_formed = (messages[0].channel, messages[0].recipient) == ("analysis", None) and said[-1] == ended
    well_formed &= last.channel == ("analysis" if called else "final")
    arguments = _json(text) if called else None
    valid_json = isinstance(arguments, dict) if called else None
    if case.tool is None:
        right = text == case.content if case.exact else case.content.lower() in text.lower()
    else:
        right = arguments == json.loads(case.content)
    return Verdict(well_formed, called == case.tool, valid_json, right and called == case.tool, text)


def _messages(said: list[int]) -> list[Message]:
    parser = StreamableParser(encoding.load(), Role.ASSISTANT)
    try:
        for token in said:
            parser.process(token)
        parser.process_eos()
    except HarmonyError:
        return []
    return list(parser.messages)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def run(checkpoint: dict[str, np.ndarray], cases: list[Case], *, has_tools: bool = True) -> list[Verdict]:
    """Decode all cases and judge them."""
    long = ("count", "count to 100", "list", "story", "unseen chat")
    order = sorted(range(len(cases)), key=lambda place: (cases[place].kind in long, len(cases[place].prompt)))
    front = prefix(has_tools=has_tools)
    verdicts: dict[int, Verdict] = {}
    for start in range(0, len(order), ROWS):
        places = order[start : start + ROWS]
        longest = LONGEST_ANSWER if any(cases[place].kind in long for place in places) else LONGEST_CALL
        outputs = decoding.greedy(checkpoint, front, [cases[place].prompt for place in places], longest)
        verdicts |= {place: judge(cases[place], said) for place, said in zip(places, outputs, strict=True)}
    return [verdicts[place] for place in range(len(cases))]


def report(folder: Path, *, verbose: bool = False) -> None:
    """Print how well the weights in `folder` do."""
    checkpoint = bundled.weights(folder / "weights.npz")
    for title, cases in (("From the training grammar", from_grammar()), ("In unseen wording", unseen_wording())):
        verdicts = run(checkpoint, cases)
        print(f"\n{title}:")
        _print_table(cases, verdicts)
        if verbose:
            for case, verdict in zip(cases, verdicts, strict=True):
                if not (verdict.well_formed and verdict.right_content):
                    print(f"  {case.kind}: {case.shown!r}")
                    print(f"    wanted {case.content[:300]!r}\n    said   {verdict.said[:300]!r}")
    print("\nConversations:")
    for title, problem in converse(checkpoint):
        print(f"  {title}: {problem or 'as expected'}")


def _print_table(cases: list[Case], verdicts: list[Verdict]) -> None:
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for case, verdict in zip(cases, verdicts, strict=True):
        for kind in (case.kind, "calls" if case.tool else "answers", "all"):
            sums[kind].update(
                {"count": 1, "form": verdict.well_formed, "tool": verdict.right_tool, "content": verdict.right_content}
            )
            if verdict.valid_json is not None:
                sums[kind].update({"json": verdict.valid_json, "of json": 1})
    print(f"  {'':22} count  well-formed  right tool  valid JSON  right content")
    for kind, sum_ in sums.items():
        count, of_json = sum_["count"], sum_["of json"]
        valid = f"{100 * sum_['json'] / of_json:9.1f}%" if of_json else " " * 10
        shares = [f"{100 * sum_[key] / count:.1f}%" for key in ("form", "tool", "content")]
        print(f"  {kind:22} {count:5}  {shares[0]:>11}  {shares[1]:>10}  {valid}  {shares[2]:>13}")


# --- whole conversations ---

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


def converse(checkpoint: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    """Play the conversations, the model speaking for itself; return each title with the first problem, if any."""
    front = prefix(has_tools=True)
    outcome = []
    for title, steps in CONVERSATIONS.items():
        finished: list[int] = []
        current: list[int] = []
        tool, problem = "", ""
        for step in steps:
            if step[0] == "user":
                finished += _without_analysis(current)
                current = render.user(step[1])
                continue
            if step[0] == "result":
                current += render.tool_result(tool, "analysis", step[1])
                continue
            prompt = [*finished, *current, *render.ASSISTANT_START]
            said = decoding.greedy(checkpoint, front, [prompt], LONGEST_CALL)[0]
            wanted = step[-1]
            verdict = judge(Case(step[0], "", [], step[1] if step[0] == "call" else None, wanted, exact=False), said)
            if not (verdict.well_formed and verdict.right_content):
                problem = f"wanted {wanted!r}, but it said {encoding.load().decode(said)!r}"
                break
            tool = step[1]
            current += [
                *render.ASSISTANT_START,
                *(vocabulary.END if token == vocabulary.RETURN else token for token in said),
            ]
        outcome.append((title, problem))
    return outcome


def _without_analysis(turn: list[int]) -> list[int]:
    """Return a finished turn as the agent keeps it."""
    kept: list[int] = []
    reasoning = [*render.ASSISTANT_START, vocabulary.CHANNEL, *encoding.encode_text("analysis"), vocabulary.MESSAGE]
    for message in _split(turn):
        if message[: len(reasoning)] != reasoning:
            kept += message
    return kept


def _split(ids: list[int]) -> list[list[int]]:
    messages: list[list[int]] = []
    for token in ids:
        if token == vocabulary.START:
            messages.append([])
        messages[-1].append(token)
    return messages
