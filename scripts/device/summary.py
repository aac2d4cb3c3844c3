"""The figures of a device, from what was measured there. Knows what was asked of gpt-oss-20b."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmark.figures import Figure

from device.bandwidth import most_tokens_per_second
from device.measurements import (
    NEXT_TURN_TOKENS,
    OURS,
    RAW,
    SESSIONS,
    Measured,
    Plan,
)

FIRST_TOKEN_SECONDS = 3.0
TOKENS_PER_SECOND = 10.0
"""What gpt-oss-20b must reach on a GPU."""


def figures(measured: Measured, plan: Plan, step_bytes: int, *, targets: bool) -> list[Figure]:
    """Return a figure for each thing that was measured; `targets` says whether they are gpt-oss-20b's on a GPU."""
    slowest, least = (FIRST_TOKEN_SECONDS, TOKENS_PER_SECOND) if targets else (None, None)
    prompt = f"{plan.prompt_tokens:,}-token prompt"
    seconds = (
        ("load", "load, imports included", None),
        ("cold", f"first token, {prompt}, cold", slowest),
        ("warm", f"first token, its next turn, {NEXT_TURN_TOKENS} tokens more", None),
        ("cancel in decode", "cancel in decode", None),
        ("cancel in prefill", f"cancel in prefill of {plan.cancelled_tokens:,} tokens", None),
    )
    rates = (("alone", "decode alone", least), ("together", f"decode of {SESSIONS} sessions in all", None))
    found = [
        *(_compared(measured, key, name, "s", target) for key, name, target in seconds[:3]),
        *(_compared(measured, key, name, "tokens/s", target) for key, name, target in rates),
        _share_of_bound(measured, step_bytes),
        *(_compared(measured, key, name, "s", target) for key, name, target in seconds[3:]),
        *_memory(measured),
    ]
    return [figure for figure in found if figure is not None]


def _compared(measured: Measured, key: str, name: str, unit: str, target: float | None) -> Figure | None:
    ours, raw = (measured.samples.get(key, {}).get(side, []) for side in (OURS, RAW))
    if not ours:
        return None
    detail = f"{min(ours):.3g} to {max(ours):.3g}; " if len(ours) > 1 else ""
    if raw:
        detail += f"raw mlx-lm {median(raw):.3g} {unit}, ours / raw {median(ours) / median(raw):.2f}; "
    detail += f"runs: {len(ours)}"
    return Figure(name, median(ours), target, unit, at_least=unit != "s", detail=detail, samples={OURS: ours, RAW: raw})


def _share_of_bound(measured: Measured, step_bytes: int) -> Figure | None:
    bound = most_tokens_per_second(measured.device.get("name", ""), step_bytes)
    ours, raw = (measured.samples.get("alone", {}).get(side, []) for side in (OURS, RAW))
    if bound is None or not ours:
        return None
    detail = f"of {bound:.0f} tokens/s: a step reads {step_bytes / 1e9:.2f} GB of weights"
    if raw:
        detail += f"; raw mlx-lm {_percent(raw, bound):.0f} %"
    return Figure("decode alone, share of the memory's bandwidth", _percent(ours, bound), unit="%", detail=detail)


def _percent(rates: Sequence[float], bound: float) -> float:
    return 100 * median(rates) / bound


def _memory(measured: Measured) -> list[Figure]:
    names = {
        "active": "memory of MLX at the end",
        "peak": "memory of MLX at its peak",
        "resident": "resident memory of the process at its peak",
    }
    loaded = measured.device.get("active_bytes", 0) / 1e9
    return [
        Figure(
            name, measured.memory[key] / 1e9, unit="GB", detail=f"{loaded:.3g} GB after the load" * (key == "active")
        )
        for key, name in names.items()
        if key in measured.memory
    ]
