"""What the header grammar guarantees and what it costs.

To be run from the checkout's root:

    python -m scripts.bench_grammar             # build time, decode speed with the grammar over without
    python -m scripts.bench_grammar headers     # 2,000 headers of a random-weight model, with and without

Both sides of a ratio run in one process, in turns, so that what else the machine does weighs on both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import mlx.core as mx
from mlx_lm.generate import BatchGenerator

from gptoss_acp import vocabulary
from gptoss_acp.engine import weights
from gptoss_acp.harmony import encoding, json_grammar
from gptoss_acp.harmony.constraint import constraint_to
from gptoss_acp.harmony.header_grammar import HeaderGrammar, grammar_of
from gptoss_acp.harmony.render import ASSISTANT_START
from gptoss_acp.tool_description import ToolDescription
from gptoss_acp.tools import descriptions
from gptoss_acp.vocabulary import CHANNEL, MESSAGE
from tests.support.random_gpt_oss import TOOLS, RandomGptOss, is_well_formed, read, satisfies_schema

STEPS_A_TURN = 6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", nargs="?", choices=("speed", "headers"), default="speed")
    arguments.add_argument("--headers", type=int, default=2000, help="how many headers to sample")
    arguments.add_argument("--turns", type=int, default=10, help="how often each side of a ratio is measured")
    chosen = arguments.parse_args()
    if chosen.what == "headers":
        count_headers(chosen.headers)
    else:
        measure_build()
        measure_speed(chosen.turns)


def count_headers(wanted: int) -> None:
    """Sample headers at temperature 1 with and without the grammar, and count what is wrong with them."""
    mx.random.seed(1)
    model, grammar = RandomGptOss(seed=0), grammar_of(constraint_to(TOOLS))
    for title, headers, limit in (("with the grammar", grammar, wanted), ("without", None, wanted // 10)):
        counted: Counter[str] = Counter()
        while counted["headers"] < limit:
            counted.update(count_faults(sample_one(model, headers)))
        print(f"{title}: {', '.join(f'{number} {what}' for what, number in counted.items())}", flush=True)


def sample_one(model: RandomGptOss, grammar: HeaderGrammar | None, max_tokens: int = 60) -> list[int]:
    """Sample one generation without mlx-lm's batching, which is the slower way to many short ones."""
    cache = model.make_cache()
    processor = grammar.processor(ASSISTANT_START) if grammar else None
    sampled = list(ASSISTANT_START)
    while len(sampled) < max_tokens and sampled[-1] not in vocabulary.STOP_IDS:
        logits = model(mx.array(sampled[-1:])[None], cache)[:, -1]  # (1, vocabulary)
        if processor is not None:
            logits = processor(mx.array(sampled), logits)
        sampled.append(cast("int", mx.random.categorical(logits).item()))
    return sampled[len(ASSISTANT_START) :]


def count_faults(sampled: list[int]) -> Counter[str]:
    """Count headers, malformed ones, unknown recipients, completed calls and arguments that break their schema."""
    counted: Counter[str] = Counter()
    known = {f"functions.{tool.name}" for tool in TOOLS}
    for place, message in enumerate(read(sampled)):
        if "<|message|>" not in message.header and message.stop is None:
            continue  # cut short by the limit
        counted["headers"] += 1
        well_formed = is_well_formed(message, first=place == 0)
        counted["malformed"] += not well_formed
        counted["unknown recipients"] += message.recipient is not None and message.recipient not in known
        if well_formed and message.recipient in known and message.stop is not None:
            counted["completed calls"] += 1
            counted["bad arguments"] += not satisfies_schema(message, TOOLS)
    return counted


def measure_build() -> None:
    """Time what is built once: the tables of a tool set, and llguidance's tokenizer."""
    encoding.load()
    for copies in (1, 10):
        functions = [
            ToolDescription(f"{tool.name}{copy or ''}", "", tool.parameters)
            for copy in range(copies)
            for tool in descriptions()
        ]
        seconds = timed(partial(grammar_of, constraint_to(functions)))
        print(f"grammar of {len(functions)} tools: {seconds * 1000:.0f} ms")
    print(f"llguidance's tokenizer: {timed(json_grammar.tokenizer):.2f} s")


def measure_speed(turns: int) -> None:
    """Time decoding of the bundled model inside a final message, with the grammar and without, in turns."""
    model, grammar = weights.load(None).model, grammar_of(constraint_to(TOOLS))
    for name, sampler in (("greedy", greedy), ("temperature 1", mx.random.categorical)):
        for sequences in (1, 8):
            free, held = (decoding(model, sequences, sampler, side) for side in (None, grammar))
            ratios = [speed_ratio(free, held) for _ in range(turns)]
            wall, work = (statistics.median(column) for column in zip(*ratios, strict=True))
            print(f"{name}, {sequences} at once: {wall:.3f} by the clock, {work:.3f} by processor time")
            free.close()
            held.close()


def speed_ratio(free: BatchGenerator, held: BatchGenerator) -> tuple[float, float]:
    """Return the speed of `held` over that of `free` by the clock, and by the time of all processors."""
    before, first, last, after = (decode_seconds(batch) for batch in (free, held, held, free))
    return (before[0] + after[0]) / (first[0] + last[0]), (before[1] + after[1]) / (first[1] + last[1])


def decoding(
    model: Any, sequences: int, sampler: Callable[[mx.array], mx.array], grammar: HeaderGrammar | None
) -> BatchGenerator:
    """Return a batch that has begun to decode and has no end."""
    batch = BatchGenerator(model, sampler=sampler, max_tokens=1_000_000)
    prompt = [*ASSISTANT_START, CHANNEL, *encoding.encode_text("final"), MESSAGE]
    processors = [[grammar.processor(prompt)] if grammar else [] for _ in range(sequences)]
    batch.insert([prompt] * sequences, logits_processors=processors)
    while len(batch.next_generated()) < sequences:
        pass
    return batch


def decode_seconds(batch: BatchGenerator) -> tuple[float, float]:
    """Return what a few steps take, by the clock and in processor time, with nothing left under way."""
    clock, work = time.perf_counter(), time.process_time()
    for _ in range(STEPS_A_TURN):
        batch.next()
    mx.synchronize(batch.stream)
    return time.perf_counter() - clock, time.process_time() - work


def greedy(logprobs: mx.array) -> mx.array:
    return mx.argmax(logprobs, axis=-1)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
