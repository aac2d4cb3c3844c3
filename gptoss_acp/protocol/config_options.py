"""What the user can set for a session, as clients show it: ACP's config options, and its older modes.

Knows every choice with its name. Knows nothing about what comes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gptoss_acp.engine import checkpoints
from gptoss_acp.settings import EFFORTS, MODES, Effort, Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

WHOLE_CONTEXT = "all"
CONTEXTS = (WHOLE_CONTEXT, "8192", "16384", "32768", "65536")
"""Tokens. What the model and --context-length allow is the limit in any case."""


def as_length(context: str) -> int | None:
    """Return one of `CONTEXTS` as tokens, None for all there is."""
    return int(context) if context in CONTEXTS and context != WHOLE_CONTEXT else None


def modes(current: Mode) -> dict[str, Any]:
    """Return the modes in ACP's older form, `SessionModeState`."""
    available = [{"id": mode, "name": name, "description": text} for mode, (name, text) in MODES.items()]
    return {"currentModeId": current, "availableModes": available}


def config_options(
    mode: Mode, model: str, models: Sequence[str], effort: Effort, context: int | None
) -> list[dict[str, Any]]:
    """Return every config option with its current value, in ACP's form, `SessionConfigOption`.

    `models` are all that can be chosen, `context` is in tokens, None for all there is.
    """
    modes = [{"value": mode, "name": name, "description": text} for mode, (name, text) in MODES.items()]
    names = [{"value": name, "name": checkpoints.short_name(name), "description": name} for name in models]
    efforts = [{"value": effort, "name": effort.capitalize()} for effort in EFFORTS]
    contexts = [{"value": choice, "name": _length(choice)} for choice in CONTEXTS]
    longest = "How long a conversation gets before it is compacted"
    return [
        _select("mode", "mode", "Mode", "What the agent may do without asking", now=mode, of=modes),
        _select("model", "model", "Model", "Which model answers", now=model, of=names),
        _select("effort", "thought_level", "Reasoning", "How hard the model thinks", now=effort, of=efforts),
        _select("context", "model_config", "Context", longest, now=str(context or WHOLE_CONTEXT), of=contexts),
    ]


def _select(
    identifier: str, category: str, name: str, description: str, *, now: str, of: list[dict[str, str]]
) -> dict[str, Any]:
    what = {"id": identifier, "category": category, "name": name, "description": description}
    return {**what, "type": "select", "currentValue": now, "options": of}


def _length(context: str) -> str:
    tokens = as_length(context)
    return f"{tokens // 1024}k" if tokens else "Full"
