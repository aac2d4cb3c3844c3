"""The training loop: Optax's Muon and AdamW on two CPU devices, a schedule by the clock, checkpoints.

Knows rates, time and files. Knows nothing about dialogues.
"""

from __future__ import annotations

import json
import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from gptoss_acp.engine import bundled
from tiny import model
from tiny.batches import ALONE, BEHIND_PREFIXES, DEVICES, RANDOM_CORES, batches
from tiny.model import Batch, Params
from tiny.vocabulary import Vocabulary

MATRIX_RATE, OTHER_RATE = 0.02, 3e-3
WEIGHT_DECAY = 0.02
WARM_UP_STEPS = 100
SHARE_ALONE = 0.3
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
    """Everything a run needs to go on: the network, the optimizer's state, the step, and what it learns."""

    params: Params
    optimizer: optax.OptState
    step: int
    vocabulary: Vocabulary


def fresh(seed: int, vocabulary: Vocabulary) -> State:
    """Return the state before the first step."""
    return _at_rest(model.initial(jax.random.PRNGKey(seed), len(vocabulary.learned_ids)), vocabulary)


def _at_rest(params: Params, vocabulary: Vocabulary) -> State:
    return State(params, OPTIMIZER.init(params), 0, vocabulary)


def save(state: State, file: Path) -> None:
    """Write the state, replacing the file at once."""
    params, optimizer = jax.tree.map(np.asarray, (state.params, jax.tree.leaves(state.optimizer)))
    written = (params, optimizer, state.step, state.vocabulary.learned_ids, state.vocabulary.always)
    _replace(file, pickle.dumps(written))


def load(file: Path) -> State:
    """Read a state that `save` wrote."""
    written = pickle.loads(file.read_bytes())
    params, optimizer, step, learned_ids, always = jax.tree.map(jnp.asarray, written[:2]) + written[2:]
    structure = jax.tree.structure(OPTIMIZER.init(params))
    return State(params, jax.tree.unflatten(structure, optimizer), step, Vocabulary(learned_ids, always))


def export(state: State, folder: Path) -> None:
    """Write the compact weights and the config that the loader reads."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers: dict[str, Any] = {name: np.asarray(value).astype(np.float16) for name, value in state.params.items()}
    partial = folder / "weights.partial.npz"
    np.savez_compressed(partial, learned_ids=state.vocabulary.learned_ids.astype(np.uint32), **numbers)
    partial.replace(folder / "weights.npz")
    _replace(folder / "config.json", (json.dumps(model.config(), indent=2) + "\n").encode())


def exported(file: Path, vocabulary: Vocabulary) -> State:
    """Read weights that `export` wrote, for a vocabulary that may have learned other ids.

    The optimizer's state is lost, and half of the digits.
    """
    with np.load(file) as numbers:
        params = {name: numbers[name].astype(np.float32) for name in numbers.files if name != "learned_ids"}
        place = {core: row for row, core in enumerate(vocabulary.core[numbers["learned_ids"]].tolist())}
    old = np.array([place.get(core, -1) for core in vocabulary.core[vocabulary.learned_ids].tolist()])
    fresh = bundled.random_codes(np.random.PCG64(6), len(old), model.WIDTH)
    for name in ("input.codes", "output.codes"):
        params[name] = np.where(old[:, None] >= 0, params[name][old], fresh)
    return _at_rest({name: jnp.asarray(value) for name, value in params.items()}, vocabulary)


def _replace(file: Path, content: bytes) -> None:
    partial = file.with_name(file.name + ".partial")
    partial.write_bytes(content)
    partial.replace(file)


def _kinds(params: Params) -> dict[str, str]:
    return {name: "matrix" if name.endswith(MATRICES) else "other" for name in params}


def _by_rows(params: Params) -> Any:
    """Tell Muon that a matrix is (..., out, in); those of the experts stand one behind the other."""
    return jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(reduction_axis=-1, output_axis=-2), params)


def _decays(params: Params) -> Any:
    return jax.tree.map(lambda value: value.ndim > 1, params)


OPTIMIZER = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.partition(
        {
            "matrix": optax.contrib.muon(
                MATRIX_RATE, weight_decay=WEIGHT_DECAY, muon_weight_dimension_numbers=_by_rows
            ),
            "other": optax.adamw(OTHER_RATE, b2=0.98, weight_decay=WEIGHT_DECAY, mask=_decays),
        },
        _kinds,
    ),
)

_warmed_up = optax.linear_schedule(0.0, 1.0, WARM_UP_STEPS)
_falling = optax.cosine_decay_schedule(1.0, decay_steps=1)
"""By the share of the time that is over: a run is as long as its clock says, not its steps."""


def _step(
    params: Params, optimizer: optax.OptState, batch: Batch, key: jax.Array, rate: jax.Array
) -> tuple[Params, optax.OptState, jax.Array]:
    key = jax.random.fold_in(key, jax.lax.axis_index("device"))
    grad = jax.value_and_grad(model.loss, has_aux=True)
    (_, figures), gradients = grad(params, batch, key, RANDOM_CORES)
    gradients = jax.lax.pmean(gradients, "device")
    updates, optimizer = OPTIMIZER.update(gradients, optimizer, params)
    params = optax.apply_updates(params, optax.tree.scale(rate, updates))
    return params, optimizer, jnp.append(jax.lax.pmean(figures, "device"), optax.tree.norm(gradients))


_parallel_step = jax.pmap(_step, axis_name="device", in_axes=(0, 0, 0, None, None), donate_argnums=(0, 1))


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
    params, optimizer = jax.tree.map(lambda value: jnp.stack([value] * DEVICES), (state.params, state.optimizer))
    key = jax.random.PRNGKey(seed + state.step)
    begun, compiling, reported, saved = time.monotonic(), 0.0, 0.0, 0.0
    shapes: set[tuple[tuple[int, ...], ...]] = set()
    recent: list[jax.Array] = []
    tokens = said = 0
    step = state.step
    while (done := (time.monotonic() - begun - compiling) / (60 * minutes)) < 1:
        # Made while the last step still runs.
        batch = next(alone if done < SHARE_ALONE else behind)
        factor = start * _falling(done) * _warmed_up(step - state.step + 1)
        key, subkey = jax.random.split(key)
        shape = (batch.prefix.shape, batch.rows.shape)
        before = time.monotonic()
        step += 1
        params, optimizer, figures = _parallel_step(params, optimizer, batch, subkey, factor)
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
            save(_gathered(params, optimizer, step, state.vocabulary), checkpoint)
    return _gathered(params, optimizer, step, state.vocabulary)


def _gathered(params: Params, optimizer: optax.OptState, step: int, vocabulary: Vocabulary) -> State:
    """Return the state of the first device, as all have it."""
    params, optimizer = jax.tree.map(lambda value: value[0], (params, optimizer))
    return State(params, optimizer, step, vocabulary)
