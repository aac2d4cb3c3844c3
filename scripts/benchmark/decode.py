"""Tokens per second through the agent's pipe, beside mlx-lm alone on the same prompt.

Both rates are of the answer's visible tokens, from the first to the last: for ours as the client receives them, for
mlx-lm as its loop yields the same ones.
"""

from __future__ import annotations

from statistics import median

from benchmark.client import AgentProcess, Turn
from benchmark.figures import BenchError, Figure, Plan
from benchmark.prompts import LONG_ANSWER, rendered
from benchmark.reference import Generation, Reference
from gptoss_acp.harmony import encoding


def measure(plan: Plan) -> list[Figure]:
    tokens = 120 if plan.quick else 300
    prompt = rendered(LONG_ANSWER)
    ours, raw = [], []
    arguments = ("--model", plan.model, "--temperature", "0", "--max-tokens", str(tokens))
    with AgentProcess(*arguments) as agent, Reference(plan.model) as reference:
        agent.load()
        agent.prompt(agent.new_session(), LONG_ANSWER)
        reference.generate(prompt, tokens)
        for _ in range(plan.runs):
            turn = agent.prompt(agent.new_session(), LONG_ANSWER)
            generation = reference.generate(prompt, tokens)
            check_prompt(turn, prompt)
            ours.append(rate(turn.chunks))
            raw.append(rate(visible_seconds(generation)))
    ratios = [one / other for one, other in zip(ours, raw, strict=True)]
    sampled = f"{turn.usage('outputTokens')} / {len(generation.tokens)} tokens"
    detail = f"{median(ours):.1f} / {median(raw):.1f} tokens/s, {sampled}"
    return [
        Figure(
            "decode: tokens/s through ACP / raw generate_step",
            median(ratios),
            0.95,
            at_least=True,
            detail=detail,
            samples={"ours": ours, "raw": raw},
        )
    ]


def rate(times: list[float]) -> float:
    """Return tokens per second between the first and the last of `times`."""
    if len(times) < 10:
        raise BenchError(f"an answer of {len(times)} visible tokens is too short to measure a rate")
    return (len(times) - 1) / (times[-1] - times[0])


def visible_seconds(generation: Generation) -> list[float]:
    """Return the times of the tokens after the last message header, without the closing token."""
    headers = [place for place, token in enumerate(generation.tokens) if token == encoding.MESSAGE]
    if not headers:
        raise BenchError("the reference generated no message")
    pairs = list(zip(generation.tokens, generation.seconds, strict=True))[headers[-1] + 1 :]
    return [second for token, second in pairs if token not in encoding.MESSAGE_ENDS]


def check_prompt(turn: Turn, prompt: list[int]) -> None:
    """Check that the agent gave its model as many ids as the reference got."""
    if turn.usage("inputTokens") != len(prompt):
        raise BenchError(f"the agent's prompt has {turn.usage('inputTokens')} tokens, the reference's {len(prompt)}")
