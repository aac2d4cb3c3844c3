"""How much memory the engine may take, and MLX's own limits.

One rule: what the device lets a program use, less the weights, less what working takes, is the room for contexts.
Knows the machine, and how large gpt-oss's activations are. Knows nothing about checkpoints or snapshots. Limits are set
on the engine's thread only.
"""

from __future__ import annotations

import ctypes
import os

import mlx.core as mx

from gptoss_acp.engine.prefill_cost import LARGEST_CHUNK

BUFFER_CACHE = 512 * 2**20
"""Bytes of freed buffers that MLX may keep: it gives none back to the system by itself."""

WIDTH = 2880
"""The hidden and the intermediate size of gpt-oss-20b and of gpt-oss-120b."""

ACTIVATIONS = 37
"""Numbers that a token of a chunk takes while it is read, for each of the width, with four experts a token."""

BFLOAT16 = 2
"""Bytes of a number, of an activation as of a key or value, on a GPU."""

WORKING = (
    350 * 10**6  # Python and the libraries; with CUDA, its context
    + BUFFER_CACHE
    + LARGEST_CHUNK * WIDTH * ACTIVATIONS * BFLOAT16  # the activations of a chunk: 0.44 GB
    + 12 * (LARGEST_CHUNK + 128) * 2048  # the sliding layers, while they read one: 0.05 GB
    + 16 * 3 * 201_088 * 4  # the logits of sixteen sequences: 0.04 GB
)
"""Bytes that gpt-oss takes while it works, beside its weights and its contexts: 1.43 GB.

Measured by mx.get_peak_memory on MLX's CPU backend, with random checkpoints of the widths 256, 512 and 1,024 and chunks
of 256 to 2,048 tokens: the activations, which are the experts' most of all, and of the logits three float32 for each id
of a row. Of the resident memory of a process that has loaded the bundled model, 0.34 GB are not its arrays. Computed
from that for a GPU, where numbers are bfloat16 and attention keeps no scores, since its kernels are fused. On the
processor the scores come on top, three float32 for each head, token of a chunk and token of the context; chunks are
short there.
"""

READING_PER_TOKEN = 6 * 1024
"""Bytes that reading a prompt takes for each token of its context, beside the token's own.

The mask, two bytes for each token of the chunk (measured: 1 to 2.3), and one full layer's 2 KiB, since a cache grows by
being copied, a layer at a time.
"""

LONGEST_READING = READING_PER_TOKEN * 131_072

SMALLEST_BUDGET = 256 * 2**20
"""Bytes of about 11,000 tokens of gpt-oss-20b."""

CUDA_MARGIN = 3 * 2**29
"""Bytes of a GPU's memory for others: the driver, the libraries' code and a desktop take about 0.5 GB each."""

LEFT_TO_MACOS = 2 * 2**30
"""Bytes, at least, that no program should wire, or an eighth of the machine's: people set 14,000 on a Mac of 16 GB."""

WIRED_STEP = 500
"""MB of 2^20 bytes: what `iogpu.wired_limit_mb` is rounded to."""

_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""glibc's; other systems' C libraries have none and need none (malloc_trim(3))."""


def backend() -> str:
    """Return what MLX computes with here, by the name that people know."""
    kind = "Metal" if mx.metal.is_available() else "CUDA" if mx.cuda.is_available() else "the processor, no GPU"
    return f"{kind} ({mx.device_info().get('device_name', 'unknown device')})"


def total() -> int:
    """Bytes of the machine's own memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def on_processor() -> bool:
    return bool(mx.default_device() == mx.cpu)


def on_metal() -> bool:
    return mx.metal.is_available()


def needed(weights: int) -> int:
    """Return about how many bytes a model takes while it works, with the shortest context that is of use."""
    return _loaded(weights) + WORKING + SMALLEST_BUDGET * 5 // 4


def fits(weights: int, resident: int) -> bool:
    """Return whether a model of `weights` bytes can work beside models of `resident` bytes."""
    return needed(weights) + resident <= usable()


def budget(model_bytes: int, setting_gb: float | None) -> int:
    """Return how many bytes the contexts, running and kept, may take beside a model of `model_bytes`."""
    if setting_gb is not None:
        return int(setting_gb * 1e9)
    room = usable() - model_bytes - WORKING
    # Of each 30 KiB that a token of gpt-oss-20b takes while a prompt is read, a fifth is for the reading.
    return max(SMALLEST_BUDGET, room - min(room // 5, LONGEST_READING))


def context_length(weights: int, bytes_per_token: int, longest: int, setting_gb: float | None = None) -> int:
    """Return how many tokens, at most `longest`, a context can have beside a model that is alone, 0 if that won't fit.

    `weights` are bytes on the disk, `bytes_per_token` those of the full layers' keys and values in bfloat16;
    `setting_gb` is what the user lets contexts take.
    """
    if not fits(weights, 0):
        return 0
    return min(longest, budget(_loaded(weights), setting_gb) // (bytes_per_token * (2 if on_processor() else 1)))


def _loaded(weights: int) -> int:
    # On the processor what is not in 4 bits becomes float32 (see weights), which makes gpt-oss-20b a quarter larger.
    return int(weights * 1.3) if on_processor() else weights


def enough_wired_mb(weights: int, contexts: int) -> int | None:
    """Return the `iogpu.wired_limit_mb` with which a model fits a Mac, if it can with `contexts` bytes for contexts.

    None where it would leave too little to macOS, or where that lets programs wire as much as it is.
    """
    most = (total() - max(LEFT_TO_MACOS, total() // 8)) // 2**20 // WIRED_STEP
    wanted = -(-(needed(weights) + contexts + LONGEST_READING) // (WIRED_STEP * 2**20))
    limit = min(most, wanted) * WIRED_STEP
    return limit if limit * 2**20 > max(usable(), needed(weights) - 1) else None


def shortage(weights: int, contexts: int = 0) -> str:
    """Return what is short for a model of `weights` bytes, and what to do; `contexts` are bytes wanted for contexts."""
    need = f"It needs about {gb(needed(weights))} of memory to work"
    if not on_metal():
        where = "half of this machine's memory is" if on_processor() else "this GPU leaves"
        return f"{need}, and {where} {gb(usable())}. Choose a smaller checkpoint, or a machine with more memory."
    short = f"{need}, and macOS lets programs wire {gb(usable())} here."
    if (limit := enough_wired_mb(weights, contexts)) is None:
        return f"{short} Choose a smaller checkpoint, or a Mac with more memory."
    return f"{short} `sudo sysctl iogpu.wired_limit_mb={limit}` lets them wire more, until the Mac is restarted."


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
    """Bytes that the device lets a program use: what macOS lets it wire, the GPU's with CUDA, half of RAM else."""
    if on_processor():
        return total() // 2
    info = mx.device_info()
    if wireable := info.get("max_recommended_working_set_size"):  # as iogpu.wired_limit_mb was when MLX first asked
        return int(wireable)
    return max(0, int(info.get("total_memory", 8 * 2**30)) - CUDA_MARGIN)


def gb(size: float) -> str:
    """Return `size` bytes as people read it."""
    return f"{size / 1e9:.1f} GB"
