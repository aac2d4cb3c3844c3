"""The command line. Without a command it is the agent itself: ACP on stdin and stdout."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gptoss_acp import __version__, settings

if TYPE_CHECKING:
    from gptoss_acp.engine.api import Engine

DESCRIPTION = """\
A local coding agent: gpt-oss on this machine, inside your editor.

An editor starts this program and talks to it on stdin and stdout (Agent Client Protocol). To use it in Zed, add it
to "agent_servers" in the settings; the README shows how. Every option can also be given as an environment variable,
such as GPTOSS_ACP_MODEL for --model."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gptoss-acp", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=__version__)
    settings.add_flags(parser)
    chosen = settings.parse(parser)

    from gptoss_acp import server

    server.run(chosen, make_engine)


def make_engine(chosen: settings.Settings) -> Engine:
    from gptoss_acp.engine.scripted import ScriptedEngine
    from gptoss_acp.engine.worker import MlxEngine
    from gptoss_acp.harmony.encoding import STOP_IDS

    if chosen.script is not None:
        return ScriptedEngine(chosen.script)
    return MlxEngine(chosen.model, STOP_IDS, chosen.context_length)
