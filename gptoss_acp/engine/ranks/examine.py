"""What a machine says of itself, before it becomes a rank: `python -m gptoss_acp.engine.ranks.examine MODEL`.

Prints one line of JSON: `versions`, and of the model either its `weights`, as a fingerprint, or a `problem`. The other
side asks a host for that, and compares. Imports no MLX, because that costs seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gptoss_acp.engine import checkpoints
from gptoss_acp.engine.api import EngineError
from gptoss_acp.engine.ranks import versions
from gptoss_acp.engine.ranks.processes import command

if TYPE_CHECKING:
    from gptoss_acp.engine.ranks.hostfile import Host

ANSWER_SECONDS = 60.0

MODULE = "gptoss_acp.engine.ranks.examine"


@dataclass(frozen=True)
class Examined:
    """What a host has; `problem` says why it can't be a rank of the model, "" where it can."""

    versions: str = ""
    weights: str = ""
    problem: str = ""


def here(model: str) -> Examined:
    """Return what this machine has."""
    try:
        return Examined(versions.GREETING, checkpoints.fingerprint(checkpoints.find(model)))
    except (EngineError, OSError) as error:
        return Examined(versions.GREETING, problem=str(error))


def on(host: Host, model: str) -> Examined:
    """Return what another machine has, as it says."""
    asked = command(host, "-P", "-m", MODULE, model)
    try:
        done = subprocess.run(  # noqa: S603 (the user's own hosts)
            asked, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_SECONDS, check=False
        )
        said = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
        if said is not None:
            return Examined(**{name: str(said[name]) for name in ("versions", "weights", "problem")})
    except subprocess.TimeoutExpired:
        return Examined(problem=f"it has not answered within {ANSWER_SECONDS:.0f} s")
    except (OSError, ValueError, LookupError, TypeError) as error:
        return Examined(problem=f"what it answers is not understood: {error!r}")
    words = done.stderr.decode(errors="replace").strip().splitlines() or [f"code {done.returncode}"]
    return Examined(problem=f"it can't be asked: {words[-1][:300]}")


def main() -> None:
    """Print what this machine has."""
    examined = here(sys.argv[1])
    print(json.dumps({"versions": examined.versions, "weights": examined.weights, "problem": examined.problem}))  # noqa: T201


if __name__ == "__main__":
    main()
