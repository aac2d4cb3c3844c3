"""Starts what an editor's terminal is to run, as it was told in a variable.

Some terminals join the words of a command for a shell; the words they get from us are this program and a label. Run as
a program of its own, and so quick to import. Knows nothing about permission.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

VARIABLE = "GPTOSS_ACP_LAUNCH"


def main() -> None:
    """Become the program, in its folder and environment."""
    told: dict[str, Any] = json.loads(os.environ[VARIABLE])
    sys.path.append(str(Path(__file__).parents[2]))
    from gptoss_acp.workspace import variables  # noqa: PLC0415 (not to be found before)

    environment = variables.cleaned(dict(os.environ), told["passed"])
    command = variables.with_own_path(told["command"], environment["PATH"])
    words = [*told["within"], *command]
    try:
        for ours in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and so would the program
            signal.signal(ours, signal.SIG_DFL)
        os.chdir(told["cwd"])
        folder = Path.cwd()
        if folder != Path(told["cwd"]):
            sys.exit(f"{told['cwd']} is not where it was when it was asked about")
        os.execvpe(words[0], words, environment)  # noqa: S606 (that is what it is for)
    except OSError as error:
        sys.exit(f"{words[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
