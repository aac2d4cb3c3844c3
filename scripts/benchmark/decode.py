"""Tokens per second through the agent's pipe, beside mlx-lm alone on the same prompt.

Both rates are of the answer's visible tokens, from the first to the last: for ours as the client receives them, for
mlx-lm as its loop yields the same ones. Random weights may show nothing: then all tokens count, see `total_rate`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import median

from benchmark.client import AgentProcess, Turn
from benchmark.figures import BenchError, Figure, Histogram, Plan
from benchmark.prompts import LONG_ANSWER, rendered
from benchmark.reference import Generation, Reference
from gptoss_acp import vocabulary

ENOUGH = 10
"""Tokens that make a rate."""


def measure(plan: Plan) -> list[Figure]:
    return [
        _compare(plan, "decode: tokens/s through ACP / raw generate_step", 1.12, "off"),
        _compare(plan, "the same with the header grammar, as it is by default", 1.08, "on"),
    ]


def _compare(plan: Plan, name: str, target: float, grammar: str) -> Figure:
    tokens = 120 if plan.quick else 300
    prompt = rendered(LONG_ANSWER)
    ours, raw, gaps = [], [], {"through ACP": list[float](), "raw generate_step": list[float]()}
    options = ("--max-tokens", str(tokens), "--header-grammar", grammar)
    with AgentProcess(*plan.agent, *options) as agent, Reference(plan.model) as reference:
        agent.load()
        agent.prompt(agent.new_session(), LONG_ANSWER)
        agent.settle()
        reference.generate(prompt, tokens)
        for _ in range(plan.runs):
            turn = agent.prompt(agent.new_session(), LONG_ANSWER)
            agent.settle()
            generation = reference.generate(prompt, tokens)
            check_prompt(turn, prompt)
            seconds = visible_seconds(generation)
            shown = len(seconds) >= ENOUGH
            ours.append(rate(turn.chunks) if shown else total_rate([turn]))
            raw.append(rate(seconds if shown else generation.seconds))
            for source, times in (("through ACP", turn.chunks), ("raw generate_step", seconds)):
                gaps[source] += [(later - earlier) * 1000 for earlier, later in itertools.pairwise(times)]
    ratios = [one / other for one, other in zip(ours, raw, strict=True)]
    sampled = f"{turn.usage('outputTokens')} / {len(generation.tokens)} tokens"
    title = f"Time between tokens, header grammar {grammar}"
    return Figure(
        name,
        median(ratios),
        target,
        at_least=True,
        detail=f"{median(ours):.1f} / {median(raw):.1f} tokens/s, {sampled}",
        samples={"ours": ours, "raw": raw},
        plots=(Histogram(title, "milliseconds from one token to the next", "% of tokens", gaps),),
    )


def rate(times: list[float]) -> float:
    """Return tokens per second between the first and the last of `times`."""
    if len(times) < ENOUGH:
        raise BenchError(f"an answer of {len(times)} visible tokens is too short to measure a rate")
    return (len(times) - 1) / (times[-1] - times[0])


def total_rate(turns: Sequence[Turn]) -> float:
    """Return the tokens per second of turns that ran together, all tokens of all of them.

    From the first token of any to the answer of the last, so the end of the turn counts too: it errs against us.
    """
    firsts = [turn.first_token for turn in turns if turn.first_token is not None]
    if len(firsts) < len(turns):
        raise BenchError("a turn ended without a token")
    tokens = sum(turn.usage("outputTokens") for turn in turns)
    return (tokens - len(turns)) / (max(turn.answered for turn in turns) - min(firsts))


def visible_seconds(generation: Generation) -> list[float]:
    """Return the times of the tokens after the last message header, without the closing token; none without one."""
    headers = [place for place, token in enumerate(generation.tokens) if token == vocabulary.MESSAGE]
    if not headers:
        return []
    pairs = list(zip(generation.tokens, generation.seconds, strict=True))[headers[-1] + 1 :]
    return [second for token, second in pairs if token not in vocabulary.MESSAGE_ENDS]


def check_prompt(turn: Turn, prompt: list[int]) -> None:
    """Check that the agent gave its model as many ids as the reference got."""
    if turn.usage("inputTokens") != len(prompt):
        raise BenchError(f"the agent's prompt has {turn.usage('inputTokens')} tokens, the reference's {len(prompt)}")
