"""Kills the agent at random moments of a conversation, again and again: nothing that it acknowledged may be missing."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.crashes import Crashes


def main() -> None:
    rounds, seed = _arguments()
    print(f"seed {seed}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        crashes = Crashes(Path(home), seed)
        for done in range(1, rounds + 1):
            crashes.round()
            if done % 10 == 0:
                print(f"{done} kills, {crashes.answered} prompts answered, nothing missing", flush=True)
        crashes.last_round()
    print(f"{rounds} kills in {time.monotonic() - started:.0f} s: nothing acknowledged is missing")


def _arguments() -> tuple[int, int]:
    parser = argparse.ArgumentParser(prog="scripts/crash_test", description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=200, help="how often it is killed (default: 200)")
    parser.add_argument("seed", type=int, nargs="?", help="of an earlier run, to have the same again")
    given = parser.parse_args()
    return given.rounds, random.randrange(1_000_000) if given.seed is None else given.seed


if __name__ == "__main__":
    main()
