"""Kills the agent at random moments of a conversation, again and again: nothing that it acknowledged may be missing."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.crashes import Crashes


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1_000_000)
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


if __name__ == "__main__":
    main()
