"""How a client can get the model ready: ACP's `authMethods`.

Knows which ways there are and how they are described. Knows nothing about how a model is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gptoss_acp.engine import checkpoints

if TYPE_CHECKING:
    from gptoss_acp.protocol.capabilities import Capabilities

PREPARE_MODEL = "prepare-model"
SET_UP = "setup"


def methods(model: str, client: Capabilities) -> list[dict[str, Any]]:
    """Return how `model` can be made ready: by `authenticate`, and in a terminal where the client has one."""
    offered: list[dict[str, Any]] = [{"id": PREPARE_MODEL, **_preparation(model)}]
    if client.terminal_auth:
        offered.append(
            {
                "id": SET_UP,
                "type": "terminal",
                "name": "Set up in a terminal",
                "description": "Choose a model that fits this machine, download it and try it.",
                # Added to the arguments that started us; older clients put them in their place.
                "args": ["--model", model, "setup"],
            }
        )
    return offered


def _preparation(model: str) -> dict[str, str]:
    """Return name and description of the method that prepares the model."""
    name = checkpoints.short_name(model)
    if not checkpoints.is_repository(model):
        return {"name": f"Load {name}", "description": "Load the model, to see that it works."}
    known = checkpoints.WELL_KNOWN.get(model)
    return {
        "name": f"Download {name} ({known.nbytes / 1e9:.1f} GB)" if known else f"Download {name}",
        "description": f"Download {model} from Hugging Face if it is not on this machine yet, and load it.",
    }
