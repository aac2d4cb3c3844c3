"""The command line: every command with its arguments. Without one it is the agent itself: ACP on stdin and stdout.

A command's own room is imported when it runs, because an editor waits for the agent's first answer.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from gptoss_acp import __version__, settings, system

DESCRIPTION = """\
A local coding agent: gpt-oss on this machine, inside your editor.

An editor starts this program and talks to it on stdin and stdout (Agent Client Protocol). To use it in Zed, add it
to "agent_servers" in the settings; the README shows how. Every option can also be given as an environment variable,
such as GPTOSS_ACP_MODEL for --model."""


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    chosen = settings.read(parser, vars(given))
    if given.command != "doctor" and (problem := system.problem(system.here())):  # which says it among other things
        sys.exit(problem)
    importlib.import_module(f"gptoss_acp.cli.{given.command}").run(chosen, given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gptoss-acp", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(command="serve")
    settings.add_flags(parser)
    commands = parser.add_subparsers(metavar="command", help="without one: serve an editor")
    _add(commands, "setup", "choose a model that fits this machine, download it and try it").add_argument(
        "--yes", action="store_true", help="take what is recommended without asking"
    )
    _add_sessions(_add(commands, "sessions", "list, show, export or delete stored sessions"))
    _add(commands, "cache", "show or clear the contexts kept on disk").add_argument(
        "--clear", action="store_true", help="delete them"
    )
    _add(commands, "doctor", "check this machine, and say what is not fine and what to do").add_argument(
        "--json", action="store_true", help="print one JSON object"
    )
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what)
    parser.set_defaults(command=name)
    return parser


def _add_sessions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", help="without one: list")
    actions.add_parser("list", help="list the sessions, newest first")
    show = actions.add_parser("show", help="show what a session is")
    export = actions.add_parser("export", help="write a session's conversation to stdout")
    export.add_argument("--format", choices=("md", "json"), default="md", help="Markdown (the default) or JSON")
    delete = actions.add_parser("delete", help="delete sessions")
    for action, count in ((show, None), (export, None), (delete, "+")):
        action.add_argument("id", nargs=count, help="a session's id, or how it begins")
