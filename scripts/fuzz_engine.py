"""Runs the engine through schedules made by chance, and compares each token that it samples with a cold run's."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import mlx.core as mx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Before mlx-lm is imported: on a GPU how sums are rounded depends on what else is computed with them.
mx.set_default_device(mx.cpu)

from tests.support import random_checkpoint  # noqa: E402
from tests.support.engine_schedules import EngineSchedules  # noqa: E402

EVERY = 10


def main() -> None:
    schedules, seed = _arguments()
    print(f"seed {seed}", flush=True)
    started = time.monotonic()
    different: list[str] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        fuzz = EngineSchedules(random_checkpoint.write_every_expert(Path(home) / "gpt-oss-random"), Path(home))
        for number in range(schedules):
            found = fuzz.run(seed + number)
            different += found
            print(*found, sep="\n", end="\n" * bool(found), flush=True)
            if (number + 1) % EVERY == 0:
                print(f"{number + 1} schedules, {len(different)} streams different", flush=True)
    counts = ", ".join(f"{count} {what}" for what, count in fuzz.happened.items())
    print(f"{counts}; {len(different)} streams different; {time.monotonic() - started:.0f} s")
    if different:
        print("Again: scripts/fuzz_engine --schedules 1 --seed SEED, with the seed of a line above")
        sys.exit(1)


def _arguments() -> tuple[int, int]:
    parser = argparse.ArgumentParser(prog="scripts/fuzz_engine", description=__doc__)
    parser.add_argument("--schedules", type=int, default=300, help="how many (default: 300)")
    parser.add_argument("--seed", type=int, help="of the first one; the next has the next number")
    given = parser.parse_args()
    return given.schedules, random.randrange(1_000_000) if given.seed is None else given.seed


if __name__ == "__main__":
    main()
