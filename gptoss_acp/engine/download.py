"""Gets a checkpoint onto this machine, by way of a process that can be ended at any moment.

Knows that process and what it says. Knows nothing about the hub or the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from gptoss_acp.engine import checkpoints
from gptoss_acp.engine.api import EngineError, ModelMissingError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


async def download(name: str, report: Callable[[int, int], None]) -> None:
    """Return when the checkpoint `name` is on this machine. Cancelling stops it; another call goes on from there.

    `report` is told how many bytes are there, and of how many.

    Raises:
        EngineError: it can't be had; the message says why and what to do.
    """
    try:
        await asyncio.to_thread(checkpoints.find, name)
    except ModelMissingError as error:
        if not error.downloadable:
            raise
        await _download(name, report)
        await asyncio.to_thread(checkpoints.find, name)


async def _download(name: str, report: Callable[[int, int], None]) -> None:
    process = await asyncio.create_subprocess_exec(
        # Without -P it would import what lies in the working directory, which is the user's project.
        *(sys.executable, "-P", "-m", "gptoss_acp.engine.download_process", name),
        stdin=asyncio.subprocess.PIPE,  # which closes with us, and then it ends
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        start_new_session=True,  # a Ctrl-C in the terminal is ours to answer
    )
    assert process.stdout is not None
    failure = None
    try:
        async for line in process.stdout:
            message = _message(line)
            failure = message.get("error", failure)
            if "done" in message:
                report(message["done"], message["total"])
        code = await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if failure is None and code != 0:
        failure = f"The download of {name} ended unexpectedly; the log says more. Try again to go on from there."
    if failure is not None:
        raise EngineError(failure)


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if isinstance(message, dict):
        return message
    log.info("download: %s", line.decode(errors="replace").rstrip())
    return {}
