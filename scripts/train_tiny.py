"""Trains the bundled model from nothing, writes its weights and prints how well it does on the frozen tests.

    python scripts/train_tiny.py --minutes 100
    python scripts/train_tiny.py --evaluate

    python scripts/train_tiny.py --minutes 4 --makers 14

Needs the extra `train` (JAX, Optax). Two CPU cores are enough, for which the first line is; the last is for a GPU of
NVIDIA's, with JAX's package for it, beside 16 cores. The bundled weights are replaced, unless `--out` names a folder.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from extras import how_to_install
from tiny import heldout, scoring

from gptoss_acp.engine import bundled

if TYPE_CHECKING:
    from tiny.training import State


def main() -> None:
    """Train, or only evaluate, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=100, help="time to train, compiling not counted")
    parser.add_argument(
        "--out", type=Path, default=bundled.data_folder(), help="folder for weights.npz and config.json"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, help="file to save the whole state to, every few minutes")
    parser.add_argument("--resume", type=Path, help="checkpoint, or weights.npz, to go on from")
    parser.add_argument("--rate", type=float, default=1.0, help="learning rate at the start, as a share of the usual")
    parser.add_argument("--makers", type=int, default=0, help="processes that make batches (default: this one does)")
    parser.add_argument("--unscored", action="store_true", help="only train")
    parser.add_argument("--evaluate", action="store_true", help="train nothing, only score the weights in --out")
    parser.add_argument("--verbose", action="store_true", help="print every failure of the evaluation")
    options = parser.parse_args()
    if not options.evaluate and (lacking := how_to_install("train", "jax", "optax")):
        parser.error(f"training needs JAX and Optax:\n  {lacking}")
    if not options.evaluate:
        _train(options)
    if not options.unscored:
        scoring.report(options.out, verbose=options.verbose)


def _train(options: argparse.Namespace) -> None:
    # JAX reads this once, when it is first imported.
    os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    from tiny import training

    checkpoint = options.checkpoint or Path(tempfile.mkdtemp(prefix="train-tiny-")) / "checkpoint.pickle"
    print(f"checkpoint: {checkpoint}")
    state = _beginning(options)
    size = sum(value.size for value in state.params.values())
    print(f"learned cores: {len(state.vocabulary.learned_ids)}, numbers: {size}")
    state = training.train(
        state,
        minutes=options.minutes,
        seed=options.seed,
        avoided=heldout.outlines(),
        checkpoint=checkpoint,
        start=options.rate,
        makers=options.makers,
    )
    training.save(state, checkpoint)
    training.export(state, options.out)


def _beginning(options: argparse.Namespace) -> State:
    from tiny import training, vocabulary

    if options.resume and options.resume.suffix != ".npz":
        return training.load(options.resume)
    chosen = vocabulary.Vocabulary(*vocabulary.choose(Random(options.seed)))
    return training.exported(options.resume, chosen) if options.resume else training.fresh(options.seed, chosen)


if __name__ == "__main__":
    main()
