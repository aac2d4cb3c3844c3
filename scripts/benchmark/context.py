"""The time to the first token where the conversation has been read before, beside the same prompt cold.

Warm is what the client has, through the pipe: see `Turn.first_token_seconds`. Between turns the agent has the time to
read ahead, as while the user reads. Cold is the engine alone with the very same ids, which has never seen them.
"""

from __future__ import annotations

import tempfile
from datetime import date
from functools import cache
from pathlib import Path
from statistics import median

from benchmark.client import AgentProcess, Turn
from benchmark.engine import EngineProcess
from benchmark.figures import BenchError, Figure, Lines, Plan
from benchmark.prompts import LONG_ANSWER, rendered, text_of
from gptoss_acp.harmony.encoding import encode_text
from gptoss_acp.harmony.parser import MessageEnded
from gptoss_acp.harmony.render import assistant_start
from gptoss_acp.ledger import Ledger

TURNS = 5
ANSWER_TOKENS = 100
NEW_TOKENS = 20
"""Of the text in the user's message that comes to a warm context."""


def measure(plan: Plan) -> list[Figure]:
    context = 2000 if plan.quick else 4000
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        arguments = ("--max-tokens", str(ANSWER_TOKENS), "--trace", str(trace))
        with AgentProcess(*plan.agent, *arguments) as agent, EngineProcess(plan.model) as cold:
            agent.load()
            figures = [
                _last_turn(plan, context, agent, cold, trace),
                _new_session(plan, agent, cold),
            ]
    return [*figures, _restart(plan, context)]


def conversation(agent: AgentProcess, context: int, seed: int) -> list[Turn]:
    """Run `TURNS` turns, the last with a short message on about `context` tokens."""
    session = agent.new_session()
    agent.settle()
    turns = []
    for text in messages(context, seed):
        turns.append(agent.prompt(session, text))
        agent.settle()
    return turns


def messages(context: int, seed: int) -> list[str]:
    """Return the user's messages of a conversation that comes to about `context` tokens with its answers."""
    size = max(20, (context - _opening_tokens()) // (TURNS - 1) - ANSWER_TOKENS - 20)
    sizes = [size] * (TURNS - 1) + [NEW_TOKENS]
    return [_message(size, TURNS * seed + turn) for turn, size in enumerate(sizes)]


def _message(tokens: int, seed: int) -> str:
    """Return a text that is answered in words: to run a tool would count as time to the first token."""
    return f"{text_of(tokens, seed=seed)}\n{LONG_ANSWER}"


def _last_turn(plan: Plan, context: int, agent: AgentProcess, cold: EngineProcess, trace: Path) -> Figure:
    warm, cold_seconds = [], []
    for run in range(-1, plan.runs):
        turn = conversation(agent, context, seed=run + 1)[-1]
        prompt = _last_prompt(trace)
        first = cold.first_token(prompt)
        _check_cold(first.cached)
        if run >= 0:
            warm.append(turn.first_token_seconds)
            cold_seconds.append(first.seconds)
    read = turn.usage("inputTokens") - turn.usage("cachedReadTokens")
    return _figure(
        f"time to first token, turn {TURNS} at {context:,} tokens / cold",
        0.10,
        warm,
        cold_seconds,
        f"{read} of {len(prompt)} tokens read",
        (_by_length(plan, agent, cold, trace),),
    )


def _new_session(plan: Plan, agent: AgentProcess, cold: EngineProcess) -> Figure:
    warm, cold_seconds = [], []
    for run in range(plan.runs):
        session = agent.new_session()
        agent.settle()
        text = _message(NEW_TOKENS, seed=1000 + run)
        turn = agent.prompt(session, text)
        agent.settle()
        first = cold.first_token(rendered(text))
        _check_cold(first.cached)
        warm.append(turn.first_token_seconds)
        cold_seconds.append(first.seconds)
    read = turn.usage("inputTokens") - turn.usage("cachedReadTokens")
    detail = f"{read} of {turn.usage('inputTokens')} tokens read"
    return _figure("time to first token, new session / cold", 0.25, warm, cold_seconds, detail)


def _restart(plan: Plan, context: int) -> Figure:
    """Both are the first prompt of a fresh process: one that finds stored contexts, and one that may not have any."""
    ledger = _ledger(context)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with EngineProcess(plan.model, folder) as engine:
            engine.first_token(ledger.prompt(), ahead=ledger.tokens())
            engine.settle()
        ledger.add_user(text_of(NEW_TOKENS))
        prompt = ledger.prompt()
        warm, cold_seconds = [], []
        for _ in range(plan.runs):
            with EngineProcess(plan.model, folder) as engine:
                first = engine.first_token(prompt)
                warm.append(first.seconds)
            with EngineProcess(plan.model) as engine:
                other = engine.first_token(prompt)
                _check_cold(other.cached)
                cold_seconds.append(other.seconds)
    detail = f"{len(prompt) - first.cached} of {len(prompt)} tokens read; the engine alone"
    name = f"time to first token, restart on a {context:,}-token ledger / cold"
    return _figure(name, 0.25, warm, cold_seconds, detail)


def _by_length(plan: Plan, agent: AgentProcess, cold: EngineProcess, trace: Path) -> Lines:
    """A prompt of each length cold, and a short message on top of it warm."""
    points: dict[str, list[tuple[float, float]]] = {"cold": [], "warm": []}
    for length in (250, 500, 1000) if plan.quick else (250, 500, 1000, 2000, 4000, 6000, 8000):
        warm, cold_seconds = [], []
        for run in range(min(3, plan.runs)):
            session = agent.new_session()
            agent.prompt(session, _message(length, seed=2000 + run))
            agent.settle()
            cold_seconds.append(cold.first_token(_last_prompt(trace)).seconds)
            turn = agent.prompt(session, _message(NEW_TOKENS, seed=0))
            agent.settle()
            warm.append(turn.first_token_seconds)
        points["cold"].append((float(turn.usage("inputTokens")), median(cold_seconds) * 1000))
        points["warm"].append((float(turn.usage("inputTokens")), median(warm) * 1000))
    series = {"the whole prompt is new": points["cold"], f"only the last {NEW_TOKENS} tokens are new": points["warm"]}
    return Lines("Time to the first token", "tokens of context", "milliseconds", series)


def _ledger(context: int) -> Ledger:
    """Return a conversation of about `context` tokens, in answered turns."""
    ledger = Ledger()
    ledger.set_prefix("You are a coding agent.", [], "medium", date(2026, 1, 1))
    header = tuple(assistant_start("final", None, None))
    for turn in range(TURNS - 1):
        size = context // (TURNS - 1) - ANSWER_TOKENS - 20
        ledger.add_user(text_of(size, seed=turn))
        text = text_of(ANSWER_TOKENS, seed=100 + turn)
        ledger.add_sampled(MessageEnded("final", None, None, text, (*header, *encode_text(text)), complete=False))
    return ledger


@cache
def _opening_tokens() -> int:
    """Return how many tokens every prompt begins with: the system and developer messages."""
    return len(rendered(""))


def _last_prompt(trace: Path) -> list[int]:
    """Return the ids that the agent last gave its model."""
    prompts = [line for line in trace.read_text("utf-8").splitlines() if line.startswith("prompt ")]
    return [int(token) for token in prompts[-1].split()[1:]]


def _check_cold(cached: int) -> None:
    if cached:
        raise BenchError(f"{cached} tokens of a cold prompt were warm")


def _figure(
    name: str,
    target: float,
    warm: list[float],
    cold: list[float],
    detail: str,
    plots: tuple[Lines, ...] = (),
) -> Figure:
    ratios = [one / other for one, other in zip(warm, cold, strict=True)]
    return Figure(
        name,
        median(ratios),
        target,
        detail=f"{median(warm) * 1000:.0f} / {median(cold) * 1000:.0f} ms, {detail}",
        samples={"warm": warm, "cold": cold},
        plots=plots,
    )
