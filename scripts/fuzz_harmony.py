"""Fuzzes the Harmony parser with well-formed outputs, mutations of them, and noise."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support import harmony_outputs as outputs


def fuzz(name: str, examples: int, strategy: SearchStrategy[tuple[list[int], ...]], check: Callable[..., None]) -> None:
    ran = 0

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def every(example: tuple[list[int], ...]) -> None:
        nonlocal ran
        ran += 1
        check(*example)

    started = time.monotonic()
    every()
    print(f"{name}: {ran} examples, {time.monotonic() - started:.0f} s, no failure", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/fuzz_harmony", description=__doc__)
    parser.add_argument("examples", type=int, nargs="?", default=20_000, help="of each kind (default: 20000)")
    examples = parser.parse_args().examples
    fuzz("well-formed", examples, outputs.well_formed().map(lambda tokens: (tokens,)), outputs.check_well_formed)
    fuzz("mutated", examples, outputs.mutated(), outputs.check_mutated)
    fuzz("noise", examples, outputs.noise.map(lambda tokens: (tokens,)), outputs.check_noise)


if __name__ == "__main__":
    main()
