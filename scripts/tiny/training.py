"""The training loop: Optax's Muon and AdamW on two CPU devices or one GPU, a schedule by the clock, checkpoints.

Knows rates, time and files. Knows nothing about dialogues.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
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
from tiny.batches import ALONE, BEHIND_PREFIXES, RANDOM_CORES, batches, shapes
from tiny.makers import batches_of_many
from tiny.model import Batch, Params
from tiny.vocabulary import Vocabulary

MATRIX_RATE, OTHER_RATE = 0.02, 3e-3
WEIGHT_DECAY = 0.02
WARM_UP_STEPS = 100
PARTS = {"cpu": 2, "gpu": 16}
"""How many parts a batch has: a CPU's devices take one each, a GPU takes all at once."""
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


_REPLICATED = jax.default_backend() == "cpu"
if _REPLICATED:
    _PARALLEL_STEP = jax.pmap(_step, axis_name="device", in_axes=(0, 0, 0, None, None), donate_argnums=(0, 1))
else:
    _together = jax.vmap(_step, axis_name="device", in_axes=(None, None, 0, None, None), out_axes=None)
    _PARALLEL_STEP = jax.jit(_together, donate_argnums=(0, 1))


def _compiled(*arguments: Any, parts: int) -> dict[tuple[tuple[int, ...], ...], Any]:
    """Return the step for each kind of batch by its shape; they compile side by side."""

    def compile_for(batch: Any) -> Any:
        params, optimizer, key, rate = arguments
        return _shape(batch), _PARALLEL_STEP.lower(params, optimizer, batch, key, rate).compile()

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return dict(threads.map(compile_for, shapes(parts)))


def _shape(batch: Batch) -> tuple[tuple[int, ...], ...]:
    return batch.prefix.shape, batch.rows.shape


def train(
    state: State,
    *,
    minutes: float,
    seed: int,
    avoided: frozenset[str],
    checkpoint: Path,
    start: float = 1.0,
    makers: int = 0,
) -> State:
    """Train for a time, the rate falling from `start` to zero along a cosine; compiling does not count.

    Batches are made by as many processes as `makers` says, beside the steps; without any, between them.
    """
    parts = PARTS[jax.default_backend()]
    params, optimizer = state.params, state.optimizer
    if _REPLICATED:
        params, optimizer = jax.tree.map(lambda value: jnp.stack([value] * parts), (params, optimizer))
    key = jax.random.PRNGKey(seed + state.step)
    with contextlib.ExitStack() as stack:
        alone, behind = (
            stack.enter_context(batches_of_many(makers, from_seed, state.vocabulary, avoided, shares, parts))
            if makers
            else batches(from_seed, state.vocabulary, avoided, shares, parts)
            for from_seed, shares in ((seed + state.step, ALONE), (seed + state.step + 1, BEHIND_PREFIXES))
        )
        steps = _compiled(params, optimizer, key, jnp.float32(0), parts=parts)
        progress = _Progress()
        saved = 0.0
        step = state.step
        while (done := progress.elapsed() / (60 * minutes)) < 1:
            # Made while the last step still runs.
            batch = next(alone if done < SHARE_ALONE else behind)
            factor = start * _falling(done) * _warmed_up(step - state.step + 1)
            key, subkey = jax.random.split(key)
            step += 1
            params, optimizer, figures = steps[_shape(batch)](params, optimizer, batch, subkey, factor)
            progress.note(step, batch, figures, float(factor))
            if progress.elapsed() - saved > 300:
                saved = progress.elapsed()
                save(_gathered(params, optimizer, step, state.vocabulary), checkpoint)
    return _gathered(params, optimizer, step, state.vocabulary)


class _Progress:
    """Waits for each step but the last, and prints the means of what they tell twice a minute."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._reported = 0.0
        self._tokens = self._said = 0
        self._recent: list[jax.Array] = []

    def elapsed(self) -> float:
        """Return the seconds since the first step."""
        return time.monotonic() - self._begun

    def note(self, step: int, batch: Batch, figures: jax.Array, rate: float) -> None:
        if self._recent:
            self._recent[-1].block_until_ready()
        self._recent.append(figures)
        self._tokens += batch.rows.size
        self._said += int(batch.target_weight.sum())
        elapsed = self.elapsed()
        if elapsed - self._reported < 30:
            return
        self._reported = elapsed
        entropy, right, copied, uneven, size = np.mean([_of_one(figures) for figures in self._recent], 0)
        self._recent = []
        print(
            f"{elapsed / 60:5.1f} min  step {step}  {self._tokens / 1e6:.2f} M tokens ({self._said / 1e6:.2f} M said)  "
            f"loss {entropy:.4f}  right {right:.4f}  copied {copied:.4f}  experts {uneven:.3f}  "
            f"gradient {size:.2f}  rate {rate:.3f}",
            flush=True,
        )


def _gathered(params: Params, optimizer: optax.OptState, step: int, vocabulary: Vocabulary) -> State:
    params, optimizer = jax.tree.map(_of_one, (params, optimizer))
    return State(params, optimizer, step, vocabulary)


def _of_one(value: jax.Array) -> Any:
    """Return what the first device has, as all have it."""
    return value[0] if _REPLICATED else value
