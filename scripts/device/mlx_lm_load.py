"""What mlx-lm's own loader takes for a checkpoint, imports included: a process of its own that says it and ends."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from benchmark.child import Child


def seconds(model: str) -> float:
    """Return the seconds that mlx-lm takes to have `model`, a folder, in memory."""
    with Child("mlx-lm's load", "device.mlx_lm_load", model) as child:
        return float(child.read())


def serve(model: str) -> None:
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    started = time.perf_counter()
    from mlx_lm.utils import load_model

    load_model(Path(model))
    print(json.dumps(time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
