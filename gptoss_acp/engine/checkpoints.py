"""Where a model's files are: the bundled model, a local folder, or the Hugging Face cache.

Knows names and folders. Knows nothing about MLX, so asking costs no heavy import.
"""

from __future__ import annotations

from pathlib import Path

from gptoss_acp.engine.api import EngineError, ModelMissingError

BUNDLED = "tiny"

_FILES = ["*.json", "model*.safetensors"]
_OTHER_FORMATS = ["original/*", "metal/*"]


def find(name: str) -> Path | None:
    """Return the folder of the checkpoint `name`, None for the bundled model.

    Raises:
        ModelMissingError: it is not on this machine.
    """
    if name == BUNDLED:
        return None
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelMissingError(f"The folder {name} holds no model: it has no config.json.")
        return folder
    if name.count("/") != 1 or folder.is_absolute():
        raise ModelMissingError(
            f"There is no model {name}. Name a folder, a Hugging Face repository (owner/name), or {BUNDLED}."
        )
    return _snapshot(name, local_only=True)


def download(name: str) -> Path | None:
    """Return the folder of the checkpoint `name`, downloading what is missing; a cut download is resumed.

    Raises:
        EngineError: it cannot be downloaded.
    """
    try:
        return find(name)
    except ModelMissingError:
        if name.count("/") != 1 or Path(name).is_absolute():
            raise
    return _snapshot(name, local_only=False)


def _snapshot(name: str, *, local_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name, allow_patterns=_FILES, ignore_patterns=_OTHER_FORMATS, local_files_only=local_only
        )
    except LocalEntryNotFoundError as error:
        if local_only:
            raise ModelMissingError(f"The model {name} is not on this machine yet.") from error
        raise EngineError(f"The model {name} could not be downloaded: is this machine online?") from error
    except Exception as error:
        raise EngineError(f"The model {name} could not be downloaded: {error}") from error
    return Path(folder)
