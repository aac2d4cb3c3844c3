"""What the agent costs, beside mlx-lm alone on the same checkpoint: one run, a table, a JSON file and a page.

Each part takes medians of interleaved runs (ours, raw, ours, raw ...), because no machine is quiet. A whole run takes
about an hour with the bundled model on two cores, with --quick a fraction of that. The page needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.figures import BenchError, Figure, Plan, machine, table
from extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PARTS = {
    "start": "from spawn to the answer to initialize",
    "decode": "tokens per second, beside mlx-lm",
    "together": "tokens per second of 8 sessions at once, beside mlx-lm",
    "first_token": "time to the first token of a new prompt, beside mlx-lm",
    "long_context": "reading and answering thousands of tokens, beside mlx-lm",
    "step": "Python's part of a decode step, and the scheduler's",
    "context": "time to the first token where most has been read before",
    "server": "the same, beside mlx-lm's own server",
    "stall": "the gap in a stream while another session's prompt is read",
    "cancel": "from cancel to the answer",
    "streaming": "processor time of a streamed token",
    "memory": "resident memory after many tokens and sessions",
}
"""Each is a module of `benchmark` with a function `measure(plan)`."""


def main() -> None:
    arguments = _arguments()
    plan = Plan(arguments.model, arguments.runs or (3 if arguments.quick else 5), arguments.quick)
    described = machine()
    if lacking := how_to_install("bench", "matplotlib"):
        # Said before an hour of measuring.
        print(
            f"There will be the JSON file but no page, which Matplotlib draws. To have it too:\n  {lacking}", flush=True
        )
    print("  ".join(f"{name}: {value}" for name, value in described.items()), flush=True)
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    for part in arguments.only:
        started = time.perf_counter()
        try:
            figures += importlib.import_module(f"benchmark.{part}").measure(plan)
        except BenchError as error:
            failures[part] = str(error)
        print(f"{part}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        # After each part: a run that is broken off has measured something all the same.
        record = {"machine": described, "figures": [figure.record() for figure in figures], "failures": failures}
        arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        if not lacking:
            arguments.html.write_text(_page(figures, described, failures), encoding="utf-8")
    print(f"\n{table(figures)}")
    for part, failure in failures.items():
        print(f"{part} FAILED: {failure}")
    if failures or (arguments.check and not all(figure.met for figure in figures)):
        sys.exit(1)


def _page(figures: Sequence[Figure], described: Mapping[str, Any], failures: Mapping[str, str]) -> str:
    return str(importlib.import_module("benchmark.page").page(figures, described, failures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog="\n".join(["parts:", *(f"  {name:12} {what}" for name, what in PARTS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", type=_parts, default=list(PARTS), metavar="PART,...", help="run only these parts")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: to see that it works")
    parser.add_argument("--runs", type=int, help="repetitions of each measurement (default: 5, with --quick 3)")
    parser.add_argument("--model", default="tiny", help="the checkpoint (default: the bundled one)")
    parser.add_argument("--check", action="store_true", help="exit with code 1 if a target is missed")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="the JSON file (default: bench.json)")
    parser.add_argument("--html", type=Path, default=Path("bench.html"), help="the page (default: bench.html)")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := [part for part in chosen if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)} (there are {', '.join(PARTS)})")
    return chosen


if __name__ == "__main__":
    main()
