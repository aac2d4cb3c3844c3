"""How often the model's Harmony, tool and argument are right: greedy, behind the agent's real messages.

Knows decoding and bars. Knows nothing about training.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from openai_harmony import HarmonyError, Message, Role, StreamableParser

from gptoss_acp import vocabulary
from gptoss_acp.engine import bundled
from gptoss_acp.harmony import encoding, render
from gptoss_acp.tool_names import EXEC, OPEN_FILE, PRINT_TREE, SEARCH
from tiny import decoding, heldout, prefixes
from tiny.heldout import CONVERSATIONS, Case

LONGEST_CALL, LONGEST_ANSWER = 200, 700
ROWS = 48

Checkpoint = dict[str, np.ndarray]

_LONG = ("count", "count to 100", "list", "story", "chat", "first words")
"""Kinds whose answers may be long."""


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
    messages = _messages([*case.given, *said])
    if not messages:
        return Verdict(False, False, None, False, encoding.load().decode(said))
    first, last = messages[0], messages[-1]
    text = last.content[0].to_dict().get("text", "")
    called = last.recipient
    ended = vocabulary.CALL if called else vocabulary.RETURN
    thought = bool(case.given) or (first.channel, first.recipient) == ("analysis", None)
    well_formed = thought and said[-1] == ended and last.channel == ("analysis" if called else "final")
    arguments = _json(text) if called else None
    valid_json = isinstance(arguments, dict) if called else None
    if case.tool:
        right = arguments == json.loads(case.content)
    else:
        right = text == case.content if case.exact else case.content.lower() in text.lower()
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


def run(checkpoint: Checkpoint, front: list[int], cases: list[Case]) -> list[Verdict]:
    """Decode all cases behind the messages `front` and judge them."""
    order = sorted(range(len(cases)), key=lambda place: (cases[place].kind in _LONG, len(cases[place].prompt)))
    verdicts: dict[int, Verdict] = {}
    for start in range(0, len(order), ROWS):
        places = order[start : start + ROWS]
        longest = LONGEST_ANSWER if any(cases[place].kind in _LONG for place in places) else LONGEST_CALL
        prompts = [[*cases[place].prompt, *cases[place].given] for place in places]
        outputs = decoding.greedy(checkpoint, front, prompts, longest)
        verdicts |= {place: judge(cases[place], said) for place, said in zip(places, outputs, strict=True)}
    return [verdicts[place] for place in range(len(cases))]


# --- the report ---


@dataclass(frozen=True)
class Bar:
    """What a kind of case must reach, in per cent."""

    kind: str
    well_formed: float = 0
    right_tool: float = 0
    right_content: float = 0


_FROM_GRAMMAR = (
    Bar("all", well_formed=98),
    *(Bar(tool, right_tool=95, right_content=90) for tool in (OPEN_FILE, PRINT_TREE, SEARCH, EXEC)),
)
_UNSEEN = (Bar("all", well_formed=98, right_tool=92), Bar("calls", right_content=80))


def report(folder: Path, *, verbose: bool = False) -> None:
    """Print how well the weights in `folder` do."""
    checkpoint = bundled.weights(folder / "weights.npz")
    today = date(2026, 11, 22)
    front = prefixes.real_prefix("/home/dev/workspace", today, "medium", has_tools=True)
    full = prefixes.full_prefix(today, "medium")
    unseen = heldout.unseen_wording()
    for title, before, cases, bars in (
        ("From the training grammar", front, heldout.from_grammar(), _FROM_GRAMMAR),
        ("In unseen wording", front, unseen, _UNSEEN),
        ("In unseen wording, behind a sandbox, skills, notes and other tools", full, unseen, _UNSEEN),
    ):
        verdicts = run(checkpoint, before, cases)
        print(f"\n{title}:")
        _print_table(cases, verdicts)
        _print_missed(cases, verdicts, bars)
        if verbose:
            _print_failures(cases, verdicts)
    print("\nConversations:")
    for title, problem in converse(checkpoint, front):
        print(f"  {title}: {problem or 'as expected'}")


def _groups(cases: list[Case], verdicts: list[Verdict]) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = defaultdict(list)
    sums: dict[str, list[Verdict]] = {"calls": [], "answers": [], "all": []}
    for case, verdict in zip(cases, verdicts, strict=True):
        found[case.kind].append(verdict)
        sums["calls" if case.tool else "answers"].append(verdict)
        sums["all"].append(verdict)
    return found | sums


def _share(values: Iterable[bool | None]) -> float:
    known = [value for value in values if value is not None]
    return 100 * sum(known) / len(known) if known else math.nan


def _shares(verdicts: list[Verdict]) -> tuple[float, float, float, float]:
    return (
        _share(verdict.well_formed for verdict in verdicts),
        _share(verdict.right_tool for verdict in verdicts),
        _share(verdict.valid_json for verdict in verdicts),
        _share(verdict.right_content for verdict in verdicts),
    )


def _print_table(cases: list[Case], verdicts: list[Verdict]) -> None:
    print(f"  {'':24} count  well-formed  right tool  valid JSON  right content")
    for kind, group in _groups(cases, verdicts).items():
        form, tool, valid, content = ("" if math.isnan(share) else f"{share:.1f}%" for share in _shares(group))
        print(f"  {kind:24} {len(group):5}  {form:>11}  {tool:>10}  {valid:>10}  {content:>13}")


def _print_missed(cases: list[Case], verdicts: list[Verdict], bars: tuple[Bar, ...]) -> None:
    groups = _groups(cases, verdicts)
    for bar in bars:
        form, tool, _, content = _shares(groups[bar.kind])
        for what, share, least in (
            ("well-formed", form, bar.well_formed),
            ("right tool", tool, bar.right_tool),
            ("right content", content, bar.right_content),
        ):
            if share < least:
                print(f"  missed: {bar.kind}, {what}: {share:.1f}% of the {least}% that it must reach")


def _print_failures(cases: list[Case], verdicts: list[Verdict]) -> None:
    for case, verdict in zip(cases, verdicts, strict=True):
        if not (verdict.well_formed and verdict.right_content):
            print(f"  {case.kind}: {case.shown!r}")
            print(f"    wanted {case.content[:300]!r}\n    said   {verdict.said[:300]!r}")


# --- whole conversations ---


def converse(checkpoint: Checkpoint, front: list[int]) -> list[tuple[str, str]]:
    """Play the conversations, the model speaking for itself; return each title with the first problem, if any."""
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
