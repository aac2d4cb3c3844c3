"""The training loop: Muon and AdamW on two CPU devices, a schedule by the clock, checkpoints.

Knows optimizing, time and files. Knows nothing about dialogues.
"""

from __future__ import annotations

import json
import math
import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tiny import model
from tiny.batches import ALONE, BEHIND_PREFIXES, DEVICES, RANDOM_CORES, batches
from tiny.model import Batch, Params
from tiny.vocabulary import Ids, Vocabulary

MATRIX_RATE, OTHER_RATE = 0.02, 3e-3
WEIGHT_DECAY = 0.02
WARM_UP_STEPS = 100
SHARE_ALONE = 0.45
"""How much of a run goes to dialogues without a prefix, at its begin."""

MATRICES = (
    "q_proj.weight",
    "k_proj.weight",
    "v_proj.weight",
    "o_proj.weight",
    "gate_proj.weight",
    "up_proj.weight",
    "down_proj.weight",
)


@dataclass
class State:
    """Everything a run needs to go on: the network, both moments, the step, and what it learns."""

    params: Params
    momentum: Params
    variance: Params
    step: int
    vocabulary: Vocabulary


def fresh(seed: int, vocabulary: Vocabulary) -> State:
    """Return the state before the first step."""
    return _at_rest(model.initial(jax.random.PRNGKey(seed), len(vocabulary.learned_ids)), vocabulary)


def _at_rest(params: Params, vocabulary: Vocabulary) -> State:
    momentum, variance = ({name: jnp.zeros_like(value) for name, value in params.items()} for _ in range(2))
    return State(params, momentum, variance, 0, vocabulary)


def save(state: State, file: Path) -> None:
    """Write the state, replacing the file at once."""
    moments = [
        {name: np.asarray(value) for name, value in tree.items()}
        for tree in (state.params, state.momentum, state.variance)
    ]
    written = (moments, state.step, state.vocabulary.learned_ids, state.vocabulary.always)
    _replace(file, pickle.dumps(written))


def load(file: Path) -> State:
    """Read a state that `save` wrote."""
    moments, step, learned_ids, always = pickle.loads(file.read_bytes())
    params, momentum, variance = ({name: jnp.asarray(value) for name, value in tree.items()} for tree in moments)
    return State(params, momentum, variance, step, Vocabulary(learned_ids, always))


def export(state: State, folder: Path) -> None:
    """Write the compact weights and the config that the loader reads."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers: dict[str, Any] = {name: np.asarray(value).astype(np.float16) for name, value in state.params.items()}
    partial = folder / "weights.partial.npz"
    np.savez_compressed(partial, learned_ids=state.vocabulary.learned_ids.astype(np.uint32), **numbers)
    partial.replace(folder / "weights.npz")
    _replace(folder / "config.json", (json.dumps(model.config(), indent=2) + "\n").encode())


def exported(file: Path, always: Ids) -> State:
    """Read weights that `export` wrote; the moments are lost, and half of the digits."""
    with np.load(file) as numbers:
        params = {name: jnp.asarray(numbers[name], jnp.float32) for name in numbers.files if name != "learned_ids"}
        return _at_rest(params, Vocabulary(numbers["learned_ids"].astype(np.int64), always))


def _replace(file: Path, content: bytes) -> None:
    partial = file.with_name(file.name + ".partial")
    partial.write_bytes(content)
    partial.replace(file)


def _orthogonal(gradient: jax.Array) -> jax.Array:
    """Return about the nearest orthogonal matrix, by five Newton-Schulz steps."""
    x = gradient / (jnp.linalg.norm(gradient, axis=(-2, -1), keepdims=True) + 1e-7)
    tall = gradient.shape[-2] > gradient.shape[-1]
    x = x.swapaxes(-1, -2) if tall else x
    for _ in range(5):
        square = x @ x.swapaxes(-1, -2)
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    x = x.swapaxes(-1, -2) if tall else x
    return x * max(1.0, gradient.shape[-2] / gradient.shape[-1]) ** 0.5


def _step(
    params: Params, momentum: Params, variance: Params, batch: Batch, key: jax.Array, rate: jax.Array, count: jax.Array
) -> tuple[Params, Params, Params, jax.Array]:
    key = jax.random.fold_in(key, jax.lax.axis_index("device"))
    grad = jax.value_and_grad(model.loss, has_aux=True)
    (_, figures), gradients = grad(params, batch, key, RANDOM_CORES)
    gradients = jax.lax.pmean(gradients, "device")
    size = jnp.sqrt(sum(jnp.sum(value**2) for value in gradients.values()))
    clipped = jnp.minimum(1.0, 1.0 / (size + 1e-6))
    new: tuple[Params, Params, Params] = ({}, {}, {})
    for name, value in params.items():
        gradient = gradients[name] * clipped
        if name.endswith(MATRICES):
            first, second = 0.95 * momentum[name] + gradient, variance[name]
            change, its_rate = _orthogonal(gradient + 0.95 * first), MATRIX_RATE
        else:
            first = 0.9 * momentum[name] + 0.1 * gradient
            second = 0.98 * variance[name] + 0.02 * gradient**2
            change = (first / (1 - 0.9**count)) / (jnp.sqrt(second / (1 - 0.98**count)) + 1e-8)
            its_rate = OTHER_RATE
        decay = WEIGHT_DECAY if value.ndim > 1 else 0.0
        for tree, result in zip(
            new, (value * (1 - rate * its_rate * decay) - rate * its_rate * change, first, second), strict=True
        ):
            tree[name] = result
    return *new, jnp.append(jax.lax.pmean(figures, "device"), size)


_parallel_step = jax.pmap(_step, axis_name="device", in_axes=(0, 0, 0, 0, None, None, None), donate_argnums=(0, 1, 2))


def train(
    state: State,
    *,
    minutes: float,
    seed: int,
    avoided: frozenset[str],
    checkpoint: Path,
    start: float = 1.0,
) -> State:
    """Train for a time, the rate falling from `start` to zero along a cosine; compiling does not count."""
    alone = batches(seed + state.step, state.vocabulary, avoided, ALONE)
    behind = batches(seed + state.step + 1, state.vocabulary, avoided, BEHIND_PREFIXES)
    trees = [_replicated(tree) for tree in (state.params, state.momentum, state.variance)]
    key = jax.random.PRNGKey(seed + state.step)
    begun, compiling, reported, saved = time.monotonic(), 0.0, 0.0, 0.0
    shapes: set[tuple[tuple[int, ...], ...]] = set()
    recent: list[jax.Array] = []
    tokens = said = 0
    step = state.step
    while (done := (time.monotonic() - begun - compiling) / (60 * minutes)) < 1:
        # Made while the last step still runs.
        batch = next(alone if done < SHARE_ALONE else behind)
        factor = start * 0.5 * (1 + math.cos(math.pi * done))
        factor *= min(1.0, (step - state.step + 1) / WARM_UP_STEPS)
        key, subkey = jax.random.split(key)
        shape = (batch.prefix.shape, batch.rows.shape)
        before = time.monotonic()
        step += 1
        *trees, figures = _parallel_step(*trees, batch, subkey, factor, float(step))
        if shape not in shapes:
            shapes.add(shape)
            compiling += time.monotonic() - before
        if recent:
            recent[-1].block_until_ready()
        recent.append(figures)
        tokens += batch.rows.size
        said += int(batch.target_weight.sum())
        elapsed = time.monotonic() - begun
        if elapsed - reported > 30:
            reported = elapsed
            entropy, right, copied, uneven, size = np.mean([np.asarray(figures)[0] for figures in recent], 0)
            recent = []
            print(
                f"{elapsed / 60:5.1f} min  step {step}  {tokens / 1e6:.2f} M tokens ({said / 1e6:.2f} M to say)  "
                f"loss {entropy:.4f}  right {right:.4f}  copied {copied:.4f}  experts {uneven:.3f}  "
                f"gradient {size:.2f}  rate {factor:.3f}  compiling {compiling:.0f} s",
                flush=True,
            )
        if elapsed - saved > 300:
            saved = elapsed
            save(_gathered(trees, step, state.vocabulary), checkpoint)
    return _gathered(trees, step, state.vocabulary)


def _replicated(tree: Params) -> Params:
    return {name: jnp.stack([value] * DEVICES) for name, value in tree.items()}


def _gathered(trees: list[Params], step: int, vocabulary: Vocabulary) -> State:
    params, momentum, variance = ({name: value[0] for name, value in tree.items()} for tree in trees)
    return State(params, momentum, variance, step, vocabulary)
