"""Whether the model that is chosen is on this machine, and whether there is memory for it. Loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gptoss_acp.cli.checks.finding import Finding, readable, whole
from gptoss_acp.engine import checkpoints
from gptoss_acp.engine.api import EngineError, ModelMissingError
from gptoss_acp.protocol import authentication
from gptoss_acp.settings import ENOUGH_CONTEXT, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


def files(chosen: Settings) -> Iterator[Finding]:
    """Say where the model's files are, and whether they are all there and whole."""
    try:
        folder = checkpoints.find(chosen.model)
    except EngineError as error:
        helps = isinstance(error, ModelMissingError) and error.downloadable
        advice = (
            f"{whole(authentication.setup_command(chosen.model))} downloads it."
            if helps
            else f"Name another one with {whole('--model')}."
        )
        yield Finding("model", "fix", str(error).replace(chosen.model, whole(chosen.model)), advice)
    else:
        where = f"{readable(checkpoints.nbytes(folder))} in {whole(folder)}" if folder else "bundled with the program"
        yield Finding("model", "ok", f"{whole(chosen.model)}, {where}")


def room(chosen: Settings) -> Iterator[Finding]:
    """Say how much memory there is, and how long a context it holds beside the model."""
    try:
        from gptoss_acp.engine import memory  # noqa: PLC0415 (needs MLX, which is of an extra)
    except ImportError:
        yield Finding("memory", "look", "what a program may use is not known without MLX", "See MLX.")
        return
    machine = f"{readable(memory.total())}, of which a program may use {readable(memory.usable())}"
    size = _size(chosen.model)
    if size is None:
        small = chosen.model == checkpoints.BUNDLED
        why = "tiny needs little" if small else "how long a context fits is known once the model is here"
        yield Finding("memory", "ok", f"{machine}: {why}")
        return
    if (machines := _machines(chosen)) > 1:
        machine, size = f"{machine}, for its part of {machines}", size.share(machines)
    fitting = memory.context_length(size.nbytes, size.bytes_per_token, size.context_length, chosen.memory_gb)
    context = min(fitting, chosen.context_length or fitting)
    short = memory.shortage(size.nbytes, size.of_contexts)
    if not context:
        yield Finding("memory", "fix", f"{machine}: no room for {whole(chosen.model)}", short)
    elif context < ENOUGH_CONTEXT:
        advice = f"Coding agents need {ENOUGH_CONTEXT:,} and more. {_what_shortens(chosen, fitting) or short}"
        yield Finding("memory", "look", f"{machine}: contexts of {context:,} tokens", advice)
    else:
        yield Finding("memory", "ok", f"{machine}: contexts of {context:,} tokens")


def _machines(chosen: Settings) -> int:
    """Return how many compute the model; where that can't be known, the check of these says so."""
    from gptoss_acp.engine.ranks import hostfile  # noqa: PLC0415 (hardly ever needed)

    try:
        return hostfile.count(chosen.hosts)
    except EngineError:
        return 1


def _size(name: str) -> checkpoints.Size | None:
    """Return what a checkpoint takes; None of one that is of no account, or not known before it is downloaded."""
    try:
        folder = checkpoints.find(name)
        return checkpoints.size(name, folder) if folder else None
    except EngineError:
        return checkpoints.WELL_KNOWN.get(name)


def _what_shortens(chosen: Settings, fitting: int) -> str | None:
    """Return which setting makes contexts shorter than those that would fit, or fit in what MLX may use."""
    if (chosen.context_length or fitting) < fitting:
        return "--context-length is what shortens them."
    return "--memory-gb is what shortens them." if chosen.memory_gb is not None else None
