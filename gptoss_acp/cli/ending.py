"""How a command ends: its exit code, and the one line on stderr that says what went wrong.

Knows which failures a person can do something about. Knows nothing about MLX, which may be missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from gptoss_acp.engine.api import EngineError, ModelMissingError
from gptoss_acp.protocol import authentication
from gptoss_acp.text import visible

if TYPE_CHECKING:
    from collections.abc import Coroutine

DONE, FAILED, USAGE, REFUSED, CANCELLED = 0, 1, 2, 3, 130
"""Exit codes; `REFUSED`: there is no answer, and something was refused."""


def end_with(work: Coroutine[Any, Any, int], model: str) -> NoReturn:
    """Do `work`, which needs `model`, and end the process with the exit code that it returns or that it fails with."""
    from gptoss_acp.store import StoreError  # noqa: PLC0415 (slow, and a wrong command line needs none)

    try:
        code = asyncio.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = CANCELLED
    except BrokenPipeError:
        code = FAILED
    except ModelMissingError as error:
        code = told(f"{error} Run `{authentication.setup_command(model)}` first." if error.downloadable else str(error))
    except (EngineError, StoreError) as error:
        code = told(str(error))
    leave(code)


def leave(code: int) -> NoReturn:
    """End the process, with all that was printed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)  # MLX aborts where an orderly end comes while its threads still work


def usage(problem: object) -> NoReturn:
    """End the process, because of what the command line, the environment or a file says."""
    sys.exit(told(str(problem), USAGE))


def told(problem: str, code: int = FAILED) -> int:
    """Say what is wrong, and return the code."""
    with contextlib.suppress(OSError):  # nobody hears it
        print(f"gptoss-acp: {visible(problem)}", file=sys.stderr, flush=True)
    return code
