"""How much memory the engine may take, and MLX's own limits.

Knows the machine. Knows nothing about models or snapshots. Limits are set on the engine's thread only.
"""

from __future__ import annotations

import ctypes
import os

import mlx.core as mx

BUFFER_CACHE = 512 * 2**20
"""Bytes of freed buffers that MLX may keep: it gives none back to the system by itself."""

SMALLEST_BUDGET = 256 * 2**20

_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""glibc's; other systems' C libraries have none and need none (malloc_trim(3))."""


def backend() -> str:
    """Return what MLX computes with here, by the name that people know."""
    kind = "Metal" if mx.metal.is_available() else "CUDA" if mx.cuda.is_available() else "the processor, no GPU"
    return f"{kind} ({mx.device_info().get('device_name', 'unknown device')})"


def total() -> int:
    """Bytes of the machine's own memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def needed(weights: int) -> int:
    """Return about how many bytes a model takes while it works, with a context of some length."""
    # On the processor what is not in 4 bits becomes float32 (see loader), which makes gpt-oss-20b a quarter larger.
    return int(weights * (1.3 if mx.default_device() == mx.cpu else 1)) + 2 * 10**9


def fits(weights: int, resident: int) -> bool:
    """Return whether a model of `weights` bytes can work beside models of `resident` bytes."""
    return needed(weights) + resident <= usable()


def budget(model_bytes: int, setting_gb: float | None) -> int:
    """Return how many bytes the contexts, running and kept, may take beside a model of `model_bytes`."""
    if setting_gb is not None:
        return int(setting_gb * 1e9)
    return max(SMALLEST_BUDGET, int(0.8 * usable()) - model_bytes)


def give_back() -> None:
    """Return what is free to the system: MLX's buffers, and what the C library would keep of them."""
    mx.clear_cache()
    if _malloc_trim is not None:
        _malloc_trim(0)


def set_limits(model_bytes: int, wired_gb: float | None) -> None:
    """Bound MLX's buffer cache and, on Metal, the wired memory."""
    mx.set_cache_limit(BUFFER_CACHE)
    if mx.metal.is_available():
        recommended = int(mx.device_info()["max_recommended_working_set_size"])
        mx.set_wired_limit(wired_limit(model_bytes, recommended, wired_gb))


def wired_limit(model_bytes: int, recommended: int, setting_gb: float | None) -> int:
    """Return how many bytes Metal may keep from being paged out: the model's and a little more, or the setting's.

    Never more than the system recommends, and without a setting well below: wiring all of that has panicked kernels
    (ml-explore/mlx#3186).
    """
    if setting_gb is not None:
        return min(int(setting_gb * 1e9), recommended)
    return min(model_bytes + 2**30, int(0.75 * recommended))


def usable() -> int:
    """Bytes that the device lets a program use: unified memory on a Mac, the GPU's with CUDA, half of RAM else."""
    if mx.default_device() == mx.cpu:
        return total() // 2
    info = mx.device_info()
    sizes = (info.get("max_recommended_working_set_size"), info.get("total_memory"), info.get("memory_size"))
    return int(next((size for size in sizes if size), 8 * 2**30))


def gb(size: float) -> str:
    """Return `size` bytes as people read it."""
    return f"{size / 1e9:.1f} GB"
