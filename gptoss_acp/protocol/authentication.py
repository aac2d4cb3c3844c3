"""How a client can get the model ready: ACP's `authMethods`.

Knows which ways there are and how they are described. Knows nothing about how a model is loaded.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

from gptoss_acp import config_file
from gptoss_acp.engine import checkpoints
from gptoss_acp.engine.api import EngineError
from gptoss_acp.settings import Settings

if TYPE_CHECKING:
    from gptoss_acp.protocol.capabilities import Capabilities

PREPARE_MODEL = "prepare-model"
SET_UP = "setup"


def methods(model: str, client: Capabilities) -> list[dict[str, Any]]:
    """Return how `model` can be made ready: by `authenticate`, and in a terminal where the client has one.

    None, where there is no such model to be had: a new session then says what is wrong with its name. Nor to a client
    that would show a page for signing in whether that is needed or not, where the model is here.
    """
    if not checkpoints.may_be_had(model) or (client.insists_on_sign_in and _is_here(model)):
        return []
    offered: list[dict[str, Any]] = [{"id": PREPARE_MODEL, **_preparation(model)}]
    if client.terminal_auth:
        offered.append(
            {
                "id": SET_UP,
                "type": "terminal",
                "name": "Set up in a terminal",
                "description": "Choose a model that fits this machine, download it and try it.",
                # Added to the arguments that started us; older clients put them in their place.
                "args": _set_up(model),
                # For clients that know terminals for this by a flag only, from before they were in the protocol.
                "_meta": {"terminal-auth": {"label": "Set up gpt-oss", **_set_up_by_hand(model)}},
            }
        )
    return offered


def setup_command(model: str) -> str:
    """Return what a person types to get this model ready."""
    return shlex.join(["gptoss-acp", *_set_up(model)])


def _is_here(model: str) -> bool:
    try:
        checkpoints.find(model)
    except EngineError:
        return False
    return True


def _set_up(model: str) -> list[str]:
    """Return the arguments of a setup: with the model where somebody has named it on our own line or in a variable."""
    try:
        unnamed = config_file.load().get("model", Settings.model)
    except ValueError:  # which was told when we started
        unnamed = Settings.model
    return ["setup"] if model == unnamed else ["--model", model, "setup"]


def _set_up_by_hand(model: str) -> dict[str, Any]:
    # Without -P what lies in the project would be imported.
    return {"command": sys.executable, "args": ["-P", "-m", "gptoss_acp", *_set_up(model)]}


def _preparation(model: str) -> dict[str, str]:
    """Return name and description of the method that prepares the model."""
    name = checkpoints.short_name(model)
    if not checkpoints.is_repository(model):
        return {"name": f"Check {name}", "description": "See whether its files are all on this machine and whole."}
    known = checkpoints.WELL_KNOWN.get(model)
    return {
        "name": f"Download {name} ({known.nbytes / 1e9:.1f} GB)" if known else f"Download {name}",
        "description": f"Download {model} from Hugging Face if it is not on this machine yet.",
    }
