"""The processor time that the agent itself spends on a streamed token, with a scripted source in place of the model.

All of the agent's threads count, from the prompt to the answer, and the source's too. A client that reads slowly makes
the agent join chunks, which saves work, so the number of chunks is reported beside the number of tokens.

The source first plays as fast as it is heard, which is the work itself. Then, for scale, it plays one token every few
milliseconds, as a model would: every token then wakes three sleeping threads, which costs more than the work.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmark.client import AgentProcess
from benchmark.figures import BenchError, Figure, Plan
from benchmark.prompts import script, text_of
from gptoss_acp.harmony import encoding

FAST_TOKENS = 20_000
SLOW_TOKENS = 1_000
SLOW_DELAY = 0.005


@dataclass
class Samples:
    """Of each run: processor time of a token (us), chunks, tokens per second."""

    microseconds: list[float] = field(default_factory=list)
    chunks: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)


def measure(plan: Plan) -> list[Figure]:
    fast = _play(FAST_TOKENS, 0, plan.runs)
    slow = _play(SLOW_TOKENS, SLOW_DELAY, 1 if plan.quick else plan.runs)
    return [
        _figure("processor time of a streamed token", FAST_TOKENS, fast, 50),
        _figure("for scale: the same at a model's pace", SLOW_TOKENS, slow, None),
    ]


def _figure(name: str, tokens: int, samples: Samples, target: float | None) -> Figure:
    detail = (
        f"{tokens:,} tokens, {median(samples.chunks):,.0f} chunks, {median(samples.tokens_per_second):,.0f} tokens/s"
    )
    return Figure(name, median(samples.microseconds), target, "us", detail=detail, samples=vars(samples))


def _play(tokens: int, delay: float, runs: int) -> Samples:
    """Let the agent stream `tokens` scripted tokens, one every `delay` seconds."""
    text = text_of(tokens)
    ids = encoding.encode_text(text)
    samples = Samples()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.json"
        file.write_text(json.dumps({**script(ids[:100], ids), "delay": delay}), encoding="utf-8")
        with AgentProcess("--script", str(file)) as agent:
            agent.initialize()
            agent.prompt(agent.new_session(), "warm up")
            for _ in range(runs):
                session = agent.new_session()
                before = agent.cpu_seconds()
                turn = agent.prompt(session, "play")
                samples.microseconds.append((agent.cpu_seconds() - before) / len(ids) * 1e6)
                samples.chunks.append(float(len(turn.chunks)))
                samples.tokens_per_second.append(len(ids) / (turn.answered - turn.sent))
                if turn.text != text:
                    raise BenchError("the streamed text is not the scripted one")
    return samples
