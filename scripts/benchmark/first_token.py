"""The time to the first token, beside mlx-lm alone on the same prompt.

The first token is reasoning, which no client sees. So the agent is limited to one token, and its time is the client's:
from sending `session/prompt` to the answer that the turn is over. That counts both ways through the pipe, and also
the end of the turn, which a first token does not wait for: it errs against us.
"""

from __future__ import annotations

from statistics import median

from benchmark.client import AgentProcess
from benchmark.decode import check_prompt
from benchmark.figures import Figure, Plan
from benchmark.prompts import SHORT_ANSWER, rendered, text_of
from benchmark.reference import Reference


def measure(plan: Plan) -> list[Figure]:
    long = 500 if plan.quick else 2000
    prompts = {"short prompt": SHORT_ANSWER, f"{long:,}-token prompt": text_of(long)}
    with (
        AgentProcess("--model", plan.model, "--temperature", "0", "--max-tokens", "1") as agent,
        Reference(plan.model) as reference,
    ):
        agent.load()
        return [_compare(name, text, agent, reference, plan.runs) for name, text in prompts.items()]


def _compare(name: str, text: str, agent: AgentProcess, reference: Reference, runs: int) -> Figure:
    prompt = rendered(text)
    ours, raw = [], []
    for run in range(-1, runs):
        turn = agent.prompt(agent.new_session(), text)
        check_prompt(turn, prompt)
        seconds = reference.generate(prompt, 1).seconds[0]
        if run >= 0:  # the first run warms both up
            ours.append(turn.answered - turn.sent)
            raw.append(seconds)
    ratios = [one / other for one, other in zip(ours, raw, strict=True)]
    return Figure(
        f"time to first token / raw, {name}",
        median(ratios),
        1.10,
        detail=f"{median(ours) * 1000:.0f} / {median(raw) * 1000:.0f} ms, {len(prompt)} tokens in all",
        samples={"ours": ours, "raw": raw},
    )
