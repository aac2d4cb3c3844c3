"""Whether this program computes what the reference computes: transformers' gpt-oss, on random checkpoints.

Each checkpoint is built with transformers, which samples greedily after prompts that end before the sliding window, in
it, past it and past position 4,096. Its tokens are forced on ours, alone and in a batch, and the log-probabilities
compared; then ours samples for itself. Exits with 1 where a target is missed. Takes a few minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from agreement import our_model
from agreement.comparison import Comparisons, Row
from agreement.transformers_model import Reference, Run
from rich.console import Console
from rich.table import Table

from tests.support import golden, random_checkpoint


@dataclass(frozen=True)
class Case:
    """A prompt of so many tokens, how many to sample after it, and the first position to compare."""

    prompt: int
    count: int
    first: int = 0


IN_BLOCKS = (Case(7, 150), Case(120, 60), Case(960, 64), Case(4700, 60, first=4000))
IN_FULL = (Case(7, 20), Case(200, 60))
CONTROLLED = 900
"""From which length on a prompt is also read by mlx-lm's own model, to show what there is to see."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/crosscheck", description=__doc__)
    parser.add_argument("--golden", action="store_true", help="write the reference's numbers that the tests hold")
    parser.add_argument("--seed", type=int, default=20, help="for other weights and prompts")
    options = parser.parse_args()
    if options.golden:
        golden.FILE.write_text(json.dumps(golden_numbers(), indent=1) + "\n", "utf-8")
        return
    comparisons = Comparisons()
    with tempfile.TemporaryDirectory() as folder:
        compare_all(comparisons, Path(folder), options.seed)
    show(comparisons.rows)
    sys.exit(any(row.missed for row in comparisons.rows))


def compare_all(comparisons: Comparisons, folder: Path, seed: int) -> None:
    weights = random_checkpoint.weights(seed)
    published = random_checkpoint.as_published(weights)
    in_blocks = random_checkpoint.write(folder / "blocks", published)
    runs = runs_of(Reference(random_checkpoint.as_computed(published)), IN_BLOCKS, seed)
    compare(comparisons, "OpenAI's MXFP4", in_blocks, IN_BLOCKS, runs)
    mlx_lms_own = our_model.loaded_by_mlx_lm(in_blocks)
    for run in runs:
        if len(run.prompt) > CONTROLLED:
            compare_alone(comparisons, "MXFP4, by mlx-lm itself", mlx_lms_own, run, len(run.prompt) - 1, must=False)
    for name, stored, dtype in (
        ("Hugging Face's bfloat16", random_checkpoint.rounded(weights), torch.bfloat16),
        ("Hugging Face's float32", weights, torch.float32),
    ):
        reference = Reference(stored)
        runs = runs_of(reference, IN_FULL, seed)
        reference.save(folder / name, dtype)
        compare(comparisons, name, folder / name, IN_FULL, runs)


def runs_of(reference: Reference, cases: tuple[Case, ...], seed: int) -> list[Run]:
    return [reference.run(random_checkpoint.tokens(case.prompt, seed + case.prompt), case.count) for case in cases]


def compare(comparisons: Comparisons, what: str, folder: Path, cases: tuple[Case, ...], runs: list[Run]) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)
    model = our_model.loaded(folder)
    for case, run in zip(cases, runs, strict=True):
        compare_alone(comparisons, what, model, run, case.first)
    prompts, wanted = [run.prompt for run in runs], [run.sampled for run in runs]
    expected = [run.log_probabilities(len(run.prompt) - 1, len(run.tokens) - 1) for run in runs]
    batch = our_model.together(model, prompts, wanted)
    for run, found, theirs in zip(runs, batch, expected, strict=True):
        comparisons.add(what, "forced, in a batch", len(run.prompt) - 1, found, theirs)
    for at_once, how in ((False, "sampled, alone"), (True, "sampled, at once")):
        sampled = asyncio.run(our_model.sampled(folder, prompts, [len(ids) for ids in wanted], at_once=at_once))
        for run, ids, theirs in zip(runs, sampled, expected, strict=True):
            comparisons.add_sampled(what, how, len(run.prompt) - 1, ids, theirs)


def compare_alone(comparisons: Comparisons, what: str, model: Any, run: Run, first: int, *, must: bool = True) -> None:
    for start, found in our_model.alone(model, run.prompt, run.sampled, first):
        expected = run.log_probabilities(start, start + len(found))
        comparisons.add(what, "forced, alone", start, found, expected, must=must)


def show(rows: list[Row]) -> None:
    table = Table("checkpoint", "how", "positions", "compared", "agree", "worst Δ log p", "")
    for row in rows:
        worst = f"{row.worst:.1e}" if row.worst else ""
        verdict = "MISSED" if row.missed else "ok" if row.must else ""
        table.add_row(row.what, row.how, row.span.name, str(row.positions), f"{row.share:.2%}", worst, verdict)
    console = Console(width=120)
    console.print(table)
    for row in rows:
        for parting in row.partings if row.must or row.how.startswith("sampled") else ():
            console.print(f"{row.what}, {row.how}: {parting}")


def golden_numbers() -> list[dict[str, Any]]:
    """Return what the reference says of the golden checkpoint, for its prompts."""
    reference = Reference(random_checkpoint.as_computed(golden.checkpoint()))
    return [golden.numbers(case, run) for case in golden.CASES for run in [reference.run(case.prompt, case.count)]]


if __name__ == "__main__":
    main()
