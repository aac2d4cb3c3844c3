"""How fast a device can decode at best: what a step reads of the weights, over what the memory can bring.

Knows devices by the names that MLX calls them, and checkpoints by their files' headers.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

BYTES_PER_SECOND = {
    "NVIDIA H200": 4.8e12,
    "NVIDIA H100 80GB HBM3": 3.35e12,
    "NVIDIA H100 NVL": 3.9e12,
    "NVIDIA H100 PCIe": 2.0e12,
    "NVIDIA A100-SXM4-80GB": 2.039e12,
    "NVIDIA A100 80GB PCIe": 1.935e12,
    "NVIDIA A100-SXM4-40GB": 1.555e12,
    "NVIDIA A100-PCIE-40GB": 1.555e12,
    "NVIDIA L40S": 864e9,
    "NVIDIA L4": 300e9,
    "NVIDIA GeForce RTX 5090": 1.792e12,
    "NVIDIA GeForce RTX 4090": 1.008e12,
    "Apple M1": 68e9,
    "Apple M1 Pro": 200e9,
    "Apple M1 Max": 400e9,
    "Apple M1 Ultra": 800e9,
    "Apple M2": 100e9,
    "Apple M2 Pro": 200e9,
    "Apple M2 Max": 400e9,
    "Apple M2 Ultra": 800e9,
    "Apple M3": 100e9,
    "Apple M3 Pro": 150e9,
    "Apple M3 Ultra": 819e9,
    "Apple M4": 120e9,
    "Apple M4 Pro": 273e9,
}
"""From the makers' data sheets. M3 Max and M4 Max are left out: each name stands for two bandwidths."""


def step_bytes(folder: Path) -> int:
    """Return how many bytes of a checkpoint's weights one step of one sequence reads, as they are in its files.

    All but the input embeddings, of which it reads one row, and the experts that the router does not choose.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    chosen = config["num_experts_per_tok"] / config["num_local_experts"]
    total = 0.0
    for file in folder.glob("*.safetensors"):
        for name, tensor in _header(file).items():
            begin, end = tensor["data_offsets"]
            if "embed_tokens" not in name:
                total += (end - begin) * (chosen if ".experts." in name else 1)
    return int(total)


def most_tokens_per_second(device: str, bytes_per_step: int) -> float | None:
    """Return the bound of one sequence's decoding, None where the device's bandwidth is not known."""
    bandwidth = BYTES_PER_SECOND.get(device)
    return bandwidth / bytes_per_step if bandwidth else None


def _header(file: Path) -> dict[str, Any]:
    """Return the tensors in a safetensors file: a length of 8 bytes, then so many bytes of JSON."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        tensors: dict[str, Any] = json.loads(opened.read(length))
    tensors.pop("__metadata__", None)
    return tensors
