"""The time to the first token of a prompt that is wholly new, beside mlx-lm alone on the same prompt.

The first token is reasoning, which no client sees. So the agent is limited to one token, and its time is the client's:
from sending `session/prompt` to the answer that the turn is over. That counts both ways through the pipe, and also
the end of the turn, which a first token does not wait for: it errs against us.

The agent would have read the system and developer messages before the prompt comes, or keep them from the session
before. Here it has memory for one prompt only, so that it must let go of them: nothing of what it reads is warm.
"""

from __future__ import annotations

from statistics import median

from benchmark.checkpoint import contexts_gb
from benchmark.client import AgentProcess
from benchmark.decode import check_prompt
from benchmark.figures import BenchError, Figure, Plan
from benchmark.prompts import SHORT_ANSWER, rendered, text_of
from benchmark.reference import Reference


def measure(plan: Plan) -> list[Figure]:
    long = 500 if plan.quick else 2000
    with Reference(plan.model) as reference:
        return [
            _compare(plan, "short prompt", SHORT_ANSWER, 1.10, reference),
            _compare(plan, f"cold {long:,}-token prompt", text_of(long), 1.05, reference),
        ]


def _compare(plan: Plan, name: str, text: str, target: float, reference: Reference) -> Figure:
    prompt = rendered(text)
    ours, raw = [], []
    # What the agent demands for a prompt, twice its context, and a little more.
    memory = ("--memory-gb", f"{contexts_gb(plan.model, 2 * len(prompt) + 16):.9f}")
    with AgentProcess(*plan.agent, *memory, "--max-tokens", "1") as agent:
        agent.load()
        for run in range(-1, plan.runs):
            session = agent.new_session()
            agent.settle()
            turn = agent.prompt(session, text)
            agent.settle()
            check_prompt(turn, prompt)
            seconds = reference.generate(prompt, 1).seconds[0]
            if run >= 0:  # the first run warms both up
                if turn.usage("cachedReadTokens"):
                    raise BenchError(f"{turn.usage('cachedReadTokens')} tokens of a cold prompt were warm")
                ours.append(turn.answered - turn.sent)
                raw.append(seconds)
    ratios = [one / other for one, other in zip(ours, raw, strict=True)]
    return Figure(
        f"time to first token / raw, {name}",
        median(ratios),
        target,
        detail=f"{median(ours) * 1000:.0f} / {median(raw) * 1000:.0f} ms, {len(prompt)} tokens in all",
        samples={"ours": ours, "raw": raw},
    )
