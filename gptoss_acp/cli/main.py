"""The command line: every command with its arguments. Without one it is the agent itself: ACP on stdin and stdout.

A command's own room is imported when it runs, because an editor waits for the agent's first answer.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import re
import sys
from typing import NoReturn

from gptoss_acp import __version__, mlx_extras, settings, system
from gptoss_acp.cli import streams
from gptoss_acp.settings import Settings
from gptoss_acp.text import as_sentence

DESCRIPTION = """\
A local coding agent: gpt-oss on this machine, inside your editor.

An editor starts this program and talks to it on stdin and stdout (Agent Client Protocol): `gptoss-acp editor` adds it
to those on this machine. Every option can also be given as an environment variable, such as GPTOSS_ACP_MODEL for
--model, or be kept in a file: `gptoss-acp config set model NAME`."""

_EPILOG = "The options of gptoss-acp hold here too."

SHELLS = ("bash", "zsh", "fish")
EDITORS = ("zed", "jetbrains", "neovim", "emacs", "jupyter", "vscode")


_WITHOUT_SETTINGS = {"help", "completion", "sessions", "cache", "editor"}
_WITHOUT_SESSION = {*_WITHOUT_SETTINGS, "config", "doctor"}


_UNRECOGNIZED = re.compile(r"unrecognized arguments: --([\w-]+)")
_INVALID_CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)")


class _Parser(argparse.ArgumentParser):
    """Says of a word that it does not know which one may be meant."""

    def error(self, message: str) -> NoReturn:
        nearest: list[str] = []
        if found := _INVALID_CHOICE.search(message):
            word, known = found[1], re.findall(r"[\w-]+", found[2])
            nearest = difflib.get_close_matches(word, known, 1)
            if option := self._unknown_option_before(word):
                # To argparse that takes no value: of the value it would say that it is no command.
                message = f"unrecognized arguments: {option}"
        if found := _UNRECOGNIZED.search(message):
            names = [option.lstrip("-") for option in self._option_string_actions]
            nearest = [f"--{name}" for name in difflib.get_close_matches(found[1], names, 2)]
        super().error(f"{message}\nIs {' or '.join(nearest)} meant?" if nearest else message)

    def _unknown_option_before(self, word: str) -> str | None:
        for given in sys.argv[1:]:
            option = given.partition("=")[0]
            if given == word:
                return None
            if option.startswith("--") and not any(known.startswith(option) for known in self._option_string_actions):
                return option
        return None


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    # It says so itself, among other things.
    if given.command != "doctor" and (problem := system.problem(system.here())):
        sys.exit(problem)
    given.parser = parser
    if given.command != "serve":
        streams.make_ready(ends_with_reader=given.command in _WITHOUT_SESSION)
    chosen = _chosen(parser, given)
    try:
        room = importlib.import_module(f"gptoss_acp.cli.{given.command}")
        room.run(chosen, given)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mlx":
            raise
        sys.exit(f"gptoss-acp: MLX is missing, which the model runs on. {mlx_extras.how_to_install()}")
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        from gptoss_acp.cli import ending  # noqa: PLC0415 (hardly ever needed)

        ending.leave(ending.told(as_sentence(str(error.strerror))))


def _chosen(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Settings:
    """Return the settings, with where each comes from in `given.choices`; the defaults, to what needs none.

    What is wrong with them ends the program, but not where it is to be mended.
    """
    if given.command in _WITHOUT_SETTINGS or (given.command == "config" and given.action):
        return Settings()
    try:
        given.choices = settings.choose(vars(given))
    except ValueError as error:
        if given.command != "doctor":
            from gptoss_acp.cli import ending  # noqa: PLC0415 (hardly ever needed)

            ending.usage(error)
        given.choices = settings.flags(vars(given))
    return settings.read(parser, given.choices)


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="gptoss-acp",
        usage="%(prog)s [options] [command ...]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"gptoss-acp {__version__}")
    parser.set_defaults(command="serve")
    settings.add_flags(parser)
    commands = parser.add_subparsers(metavar="command", help="without one: serve an editor")
    setup = _add(commands, "setup", "choose a model that fits this machine, download it and try it")
    setup.add_argument("--yes", action="store_true", help="take what is recommended without asking")
    setup.add_argument("--force", action="store_true", help="download also what is not sure to fit")
    _add_chat(_add(commands, "chat", "talk with the agent here, in the terminal"))
    _add_run(_add(commands, "run", "put one prompt, for scripts: the answer goes to stdout, what is done to stderr"))
    _add_config(_add(commands, "config", "show the settings, or change the file that keeps them"))
    _add_editor(_add(commands, "editor", "add this agent to the editors on this machine"))
    _add_sessions(_add(commands, "sessions", "list, show, export or delete stored sessions"))
    _add(commands, "cache", "show or clear the contexts kept on disk").add_argument(
        "--clear", action="store_true", help="delete them"
    )
    completion = _add(commands, "completion", "print what completes this command line in a shell")
    completion.add_argument("shell", choices=SHELLS)
    _add(commands, "help", "show this, or what a command takes").add_argument("about", nargs="?", metavar="command")
    _add(commands, "doctor", "check this machine, and say what is not fine and what to do").add_argument(
        "--json", action="store_true", help="print one JSON object"
    )
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str
) -> argparse.ArgumentParser:
    parser = _add_action(commands, name, what)
    parser.set_defaults(command=name)
    return parser


def _add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=_EPILOG)
    settings.add_flags(parser, again=True)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = f"{parser.description} Of several answers one stands below the other."
    parser.add_argument("prompt", nargs="?", help="what to do; what comes on stdin is told too, or is the prompt")
    parser.add_argument("--json", action="store_true", help="print ACP's updates, a line each, and the end of the turn")
    _add_place(parser)


def _add_chat(parser: argparse.ArgumentParser) -> None:
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--continue", dest="go_on", action="store_true", help="go on with the folder's last session")
    earlier.add_argument("--resume", metavar="ID", help="go on with this session; the beginning of its id will do")
    _add_place(parser)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cwd", default="", metavar="FOLDER", help="where to work (default: here)")
    parser.add_argument("--mcp", metavar="FILE", help='MCP servers, as JSON: {"mcpServers": {NAME: {"command": ...}}}')


def _add_config(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", help="without one: show all settings")
    setting = _add_action(actions, "set", "write a setting into the file")
    setting.add_argument("name", help="the name of its flag, without the dashes")
    setting.add_argument("value")
    _add_action(actions, "unset", "take a setting out of the file").add_argument("name")
    _add_action(actions, "path", "print where the file is")


def _add_editor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", choices=EDITORS, help="without one: list them, and ask for each")
    parser.add_argument("--yes", action="store_true", help="change what is shown without asking")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--print", action="store_true", help="only print what belongs into the editor's settings")
    what.add_argument("--remove", action="store_true", help="take this agent out again")


def _add_sessions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", help="without one: list")
    _add_action(actions, "list", "list the sessions, newest first")
    show = _add_action(actions, "show", "show what a session is")
    export = _add_action(actions, "export", "write a session's conversation to stdout")
    export.add_argument("--format", choices=("md", "json"), default="md", help="Markdown (the default) or JSON")
    delete = _add_action(actions, "delete", "delete sessions")
    for action, count in ((show, None), (export, None), (delete, "+")):
        action.add_argument("id", nargs=count, help="a session's id, or how it begins")
