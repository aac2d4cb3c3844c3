"""The command line. Without a command it is the agent itself: ACP on stdin and stdout."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from gptoss_acp import __version__, settings
from gptoss_acp.cli import sessions as sessions_command

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
    commands = parser.add_subparsers(dest="command", metavar="command", help="without one: serve an editor")
    cache = commands.add_parser("cache", help="show or clear the contexts kept on disk")
    cache.add_argument("--clear", action="store_true", help="delete them")
    setup = commands.add_parser("setup", help="choose a model that fits this machine, download it and try it")
    setup.add_argument("--yes", action="store_true", help="take what is recommended without asking")
    sessions = commands.add_parser("sessions", help="list, show, export or delete stored sessions")
    sessions_command.add_arguments(sessions)
    given = parser.parse_args()
    if given.command == "cache":
        show_cache(clear=given.clear)
    elif given.command == "setup":
        set_up(settings.read(parser, vars(given)), model_given=given.model is not None, ask=not given.yes)
    elif given.command == "sessions":
        sessions_command.run(given)
    else:
        serve(settings.read(parser, vars(given)))


def serve(chosen: settings.Settings) -> None:
    from gptoss_acp import server

    server.run(chosen, make_engine)


def make_engine(chosen: settings.Settings) -> Engine:
    from gptoss_acp.engine.api import EngineOptions
    from gptoss_acp.engine.mlx_engine import MlxEngine
    from gptoss_acp.engine.scripted import ScriptedEngine
    from gptoss_acp.harmony.encoding import CALL, STOP_IDS

    if chosen.script is not None:
        return ScriptedEngine(chosen.script, chosen.context_length)
    options = EngineOptions(
        stop_tokens=STOP_IDS,
        branch_tokens=(CALL,),
        context_length=chosen.context_length,
        memory_gb=chosen.memory_gb,
        wired_gb=chosen.wired_gb,
        disk_gb=chosen.disk_gb,
        idle_minutes=chosen.idle_minutes,
    )
    return MlxEngine(chosen.model, options)


def set_up(chosen: settings.Settings, *, model_given: bool, ask: bool) -> None:
    from gptoss_acp import server
    from gptoss_acp.cli import setup

    server.set_up_logging(chosen.log_level)
    wanted = chosen.model if model_given or chosen.model != settings.Settings.model else None
    code = setup.run(chosen, make_engine, wanted=wanted, ask=ask)
    sys.stdout.flush()
    os._exit(code)  # MLX aborts where an orderly end comes while its threads still work


def show_cache(*, clear: bool) -> None:
    from gptoss_acp.engine import snapshot_files

    kept = snapshot_files.files(snapshot_files.folder())
    size = sum(file.stat().st_size for file in kept)
    print(f"{len(kept)} contexts, {size / 1e9:.2f} GB, in {snapshot_files.folder()}")
    if clear:
        for file in kept:
            file.unlink(missing_ok=True)
        print("cleared")
