"""What gpt-oss does on this device: a checkpoint of random weights, our engine and mlx-lm alone on it, in turns.

Makes the checkpoint in the format of openai/gpt-oss-20b, loads it, and measures loading, the first token, decoding,
cancelling and memory. Runs with any Python that has the package's dependencies, from a checkout's scripts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.child import SCRIPTS
from benchmark.figures import BenchError, Figure, machine, table
from device import bandwidth, summary
from device.measurements import Measured, Plan, measure
from make_checkpoint import SHAPES, config

PLANS = {
    "tiny-random": Plan(2, seconds=4, prompt_tokens=2000, decoded_tokens=5),
    "20b": Plan(5, seconds=40, prompt_tokens=2000, decoded_tokens=200),
}


def main() -> None:
    options = _arguments()
    chosen = {"rounds": options.rounds, "prompt_tokens": options.prompt_tokens}
    plan = replace(PLANS[options.shape], **{name: value for name, value in chosen.items() if value})
    described = {**machine(), **_driver()}
    measured, figures, failure = Measured(), list[Figure](), None
    try:
        with _at_most(options.minutes), _checkpoint(options.shape, options.folder, keep=options.keep) as folder:
            step_bytes = bandwidth.step_bytes(folder)
            try:
                measure(str(folder), plan, measured)
            finally:
                # Also of what was measured before something failed.
                on_gpu = measured.device.get("backend") in ("CUDA", "Metal")
                figures = summary.figures(measured, plan, step_bytes, targets=options.shape == "20b" and on_gpu)
    except (BenchError, OSError, ValueError) as error:
        failure = str(error)
    if measured.device:
        described = {"device": measured.device["name"], **described, "backend": measured.device["backend"]}
    _show(described, figures, measured, failure)
    if options.out:
        record = {
            "shape": options.shape,
            "machine": described,
            "in_turns": measured.in_turns,
            "figures": [figure.record() for figure in figures],
            "failure": failure,
        }
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.exit(failure is not None)


def _show(described: dict[str, Any], figures: list[Figure], measured: Measured, failure: str | None) -> None:
    print("  ".join(f"{name}: {value}" for name, value in described.items()))
    if figures:
        print(f"\n{table(figures)}")
    if not measured.in_turns:
        print("mlx-lm was measured after ours, not in turns: there is no room for the weights twice.")
    if failure is not None:
        print(f"FAILED: {failure}")


@contextlib.contextmanager
def _checkpoint(shape: str, given: Path | None, *, keep: bool) -> Iterator[Path]:
    """Give the folder of a checkpoint, written now if it is not there; what was written is removed unless `keep`.

    Raises:
        BenchError: the folder holds something else, or the checkpoint can't be written.
    """
    folder = given or Path(tempfile.mkdtemp(prefix="gptoss-acp-"))
    if (folder / "config.json").is_file():
        if json.loads((folder / "config.json").read_text("utf-8")) != config(SHAPES[shape]):
            raise BenchError(f"{folder} holds another model than {shape}")
        yield folder
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise BenchError(f"{folder} holds something else: name a folder that is empty or not there yet")
    try:
        _write(shape, folder)
        yield folder
    finally:
        if keep:
            print(f"The checkpoint is in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _write(shape: str, folder: Path) -> None:
    # By a process of its own, which takes nothing of the device's memory any more when it has ended.
    started = time.perf_counter()
    command = [sys.executable, str(SCRIPTS / "make_checkpoint.py"), "--shape", shape, "--out", str(folder)]
    if subprocess.run(command, check=False).returncode:
        raise BenchError("the checkpoint could not be written")
    print(f"written in {time.perf_counter() - started:.0f} s", flush=True)


@contextlib.contextmanager
def _at_most(minutes: float) -> Iterator[None]:
    """End what runs within with a BenchError after so many minutes, or when this process is told to end."""

    def end(number: int, _: object) -> None:
        raise BenchError(f"not finished after {minutes:g} minutes" if number == signal.SIGALRM else "it was ended")

    signal.signal(signal.SIGALRM, end)
    signal.signal(signal.SIGTERM, end)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _driver() -> dict[str, str]:
    """Return the version of NVIDIA's driver, nothing where there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"driver": found[0]} if found else {}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench_device", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=PLANS, required=True, help="the sizes of the model: 20b takes 13 GB of disk")
    parser.add_argument("--folder", type=Path, help="where the checkpoint is or will be (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="do not remove the checkpoint that was written")
    parser.add_argument("--rounds", type=int, help="repetitions of each measurement (default: 5, with tiny-random 2)")
    parser.add_argument(
        "--minutes", type=float, default=6.5, help="end after so many, with what there is (default: 6.5)"
    )
    parser.add_argument("--prompt-tokens", type=int, help="of the prompt whose first token is awaited (default: 2000)")
    parser.add_argument("--out", type=Path, help="the JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
