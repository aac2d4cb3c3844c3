"""Every setting, its default and its unit. A flag wins over the environment variable of the same name, that over the
configuration file.
"""

from __future__ import annotations

import argparse
import codecs
import difflib
import math
import os
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from gptoss_acp import ENVIRONMENT_PREFIX, config_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Effort = Literal["low", "medium", "high"]
Mode = Literal["read-only", "ask", "auto-edit", "full-access"]
Switch = Literal["on", "off"]
Confinement = Literal["auto", "require", "off"]
ServerConfinement = Literal["off", "on", "network"]

EFFORTS: tuple[Effort, ...] = get_args(Effort)

MODES: dict[Mode, tuple[str, str]] = {
    "read-only": ("Read only", "Never changes a file; asks before it runs a command, in a sandbox where it only reads"),
    "ask": ("Ask", "Reads freely, asks before it changes a file or runs a command"),
    "auto-edit": (
        "Auto edit",
        "Changes files in the working directory without asking, and runs commands in a sandbox; asks for all else",
    ),
    "full-access": ("Full access", "Changes any file and runs any command without asking"),
}
"""Every mode's name and description, from the strictest on."""

LEAST_CONTEXT = 1_000
"""Tokens; what the model is told before a conversation takes most of that."""

ENOUGH_CONTEXT = 65_536
"""Tokens that coding agents need: files and what commands print fill shorter contexts within a few calls."""


def _flag(
    kind: type,
    description: str,
    choices: tuple[str, ...] | None = None,
    *,
    between: tuple[float, float] = (-math.inf, math.inf),
    hidden: bool = False,
) -> dict[str, Any]:
    return {"kind": kind, "help": description, "choices": choices, "between": between, "hidden": hidden}


@dataclass(frozen=True)
class Settings:
    """How the agent runs; every field is a flag, an environment variable and a line of the configuration file."""

    model: str = field(
        default="openai/gpt-oss-20b",
        metadata=_flag(
            str, "a folder (/..., ./..., ../... or ~...), a Hugging Face repository, or 'tiny', the bundled test model"
        ),
    )
    effort: Effort = field(
        default="medium",
        metadata=_flag(str, "how hard the model thinks", EFFORTS),
    )
    mode: Mode = field(
        default="ask",
        metadata=_flag(str, "what the agent may do without asking, until the editor chooses", get_args(Mode)),
    )
    sandbox: Confinement = field(
        default="auto",
        metadata=_flag(
            str, "confine commands where the system can, refuse them where it can't, or never", get_args(Confinement)
        ),
    )
    sandbox_servers: ServerConfinement = field(
        default="off",
        metadata=_flag(
            str,
            "run the programs of MCP servers as they are, in the sandbox, or there with the network",
            get_args(ServerConfinement),
        ),
    )
    pass_variables: str = field(
        default="",
        metadata=_flag(
            str, "names of variables that commands get although they look secret, by commas; * stands for any letters"
        ),
    )
    download: str = field(
        default="",
        metadata=_flag(str, "the model that may be downloaded if it is not here; authenticating in an editor says so"),
    )
    encoding: str = field(
        default="",
        metadata=_flag(str, "encoding of text files that are not in Unicode; default: .editorconfig's, else a guess"),
    )
    temperature: float | None = field(
        default=None,
        metadata=_flag(float, "sampling temperature, 0 is greedy; default: the model's own", between=(0, 10)),
    )
    top_p: float | None = field(
        default=None,
        metadata=_flag(
            float, "sample from the likeliest tokens of this mass; default: the model's own", between=(0, 1)
        ),
    )
    seed: int | None = field(default=None, metadata=_flag(int, "makes sampling repeatable", between=(0, 2**63 - 1)))
    max_tokens: int | None = field(
        default=None,
        metadata=_flag(int, "most tokens of one model call; default: what the context holds", between=(1, math.inf)),
    )
    context_length: int | None = field(
        default=None,
        metadata=_flag(
            int, "most tokens of a conversation; default: the model's own", between=(LEAST_CONTEXT, math.inf)
        ),
    )
    memory_gb: float | None = field(
        default=None,
        metadata=_flag(
            float, "GB of memory for contexts, beside the model; default: most of the machine's", between=(0.01, 10_000)
        ),
    )
    wired_gb: float | None = field(
        default=None,
        metadata=_flag(
            float,
            "GB that a Mac may not page out while the model is loaded, 0 for none; default: about the model",
            between=(0, 10_000),
        ),
    )
    disk_gb: float = field(
        default=8.0,
        metadata=_flag(float, "GB of disk for contexts that survive a restart; 0 keeps none", between=(0, 100_000)),
    )
    idle_minutes: float = field(
        default=30.0,
        metadata=_flag(
            float, "minutes after which an idle model is unloaded; inf for never", between=(0.001, math.inf)
        ),
    )
    keep_days: float = field(
        default=90.0,
        metadata=_flag(
            float, "days that a session is kept after its last use; with 0 until the next start", between=(0, 36_500)
        ),
    )
    max_turn_requests: int = field(
        default=50, metadata=_flag(int, "most model calls in one turn", between=(1, math.inf))
    )
    stop_repetition: Switch = field(
        default="on", metadata=_flag(str, "end a message that says the same thing over and over", ("on", "off"))
    )
    header_grammar: Switch = field(
        default="on",
        metadata=_flag(str, "let the model write only well-formed headers and tool arguments", ("on", "off")),
    )
    titles: Switch = field(
        default="on",
        metadata=_flag(str, "let the model name a session after its first answer", ("on", "off")),
    )
    log_level: str | None = field(
        default=None,
        metadata=_flag(str, "also log to stderr, from this level on", ("debug", "info", "warning", "error")),
    )
    trace: Path | None = field(
        default=None, metadata=_flag(Path, "write every line of the wire and every token, reasoning too, to this file")
    )
    script: Path | None = field(
        default=None, metadata=_flag(Path, "play the token ids in this file instead of a model's", hidden=True)
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            low, high = setting.metadata["between"]
            # A number that is none is not between anything.
            if isinstance(value, int | float) and not low <= value <= high:
                bounds = f"between {low:,g} and {high:,g}" if high < math.inf else f"{low:,g} or more"
                raise ValueError(f"{setting.name} must be {bounds}, not {value}")
        try:
            codecs.lookup(self.encoding or "utf-8")
        except (LookupError, ValueError):
            problem = f"encoding must be the name of one, such as cp1252 or gb18030, not {self.encoding!r}"
            raise ValueError(problem) from None


def as_effort(name: str) -> Effort | None:
    """Return the effort of this name, if there is one."""
    return next((effort for effort in EFFORTS if effort == name), None)


def as_mode(name: str) -> Mode | None:
    """Return the mode of this name, if there is one."""
    return next((mode for mode in MODES if mode == name), None)


def add_flags(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add each setting's flag; `again` to a command of a parser that has them too, without telling of them twice."""
    for setting in fields(Settings):
        description = setting.metadata["help"]
        if setting.default is not None:
            description += f" (default: {setting.default})"
        parser.add_argument(
            "--" + _flag_name(setting),
            type=setting.metadata["kind"],
            default=argparse.SUPPRESS if again else None,
            choices=setting.metadata["choices"],
            help=argparse.SUPPRESS if again or setting.metadata["hidden"] else description,
        )


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings of a command line; a wrong value ends the program with a clear error."""
    return read(parser, choose(parser, vars(parser.parse_args(arguments))))


def read(parser: argparse.ArgumentParser, choices: Mapping[str, Choice]) -> Settings:
    """Return the settings that are chosen; a wrong one ends the program with a clear error."""
    try:
        return Settings(**{name: choice.value for name, choice in choices.items() if choice.origin})
    except ValueError as error:
        parser.error(str(error))


@dataclass(frozen=True)
class Choice:
    """A setting's value and where it comes from: a flag, a variable or the file; nothing where it is the default."""

    value: Any
    origin: str = ""


def choose(parser: argparse.ArgumentParser, given: dict[str, Any]) -> dict[str, Choice]:
    """Return each setting by its field's name: as the command line has it, else the environment, else the file.

    A wrong one ends the program with a clear error.
    """
    try:
        file = config_file.load()
        return {setting.name: _choose(setting, given[setting.name], file) for setting in fields(Settings)}
    except ValueError as error:
        parser.error(str(error))


def _choose(setting: Field[Any], given: Any, file: Mapping[str, Any]) -> Choice:
    flag, variable = _flag_name(setting), ENVIRONMENT_PREFIX + setting.name.upper()
    if given is not None:
        return Choice(given, f"--{flag}")
    if text := os.environ.get(variable):
        return Choice(_converted(setting, text, f"{variable}={text}"), variable)
    if flag in file and not setting.metadata["hidden"]:
        place = f"{flag} in {config_file.path()}"
        return Choice(_converted(setting, file[flag], place), config_file.NAME)
    return Choice(setting.default)


def by_flag(name: str) -> Field[Any] | None:
    """Return the setting with this flag, that people may know of."""
    known = (setting for setting in fields(Settings) if not setting.metadata["hidden"])
    return next((setting for setting in known if _flag_name(setting) == name.removeprefix("--")), None)


def checked(name: str, text: str) -> Any:
    """Return the value that a text means for the setting with the flag `name`.

    Raises:
        ValueError: there is no such setting, or the value is wrong.
    """
    setting = by_flag(name)
    if setting is None:
        raise ValueError(f"there is no setting {name!r}{_meant(name, _flag_names())}")
    value = _converted(setting, text, f"{name} = {text}")
    Settings(**{setting.name: value})
    return value


def unknown() -> list[str]:
    """Return a sentence about each name in the configuration file and the environment that is no setting's."""
    variables = [ENVIRONMENT_PREFIX + setting.name.upper() for setting in fields(Settings)]
    return unknown_keys() + [
        f"{name} is no setting of ours{_meant(name, variables)}"
        for name in os.environ
        if name.startswith(ENVIRONMENT_PREFIX) and name not in variables
    ]


def unknown_keys() -> list[str]:
    """Return a sentence about each name in the configuration file that is no setting's."""
    try:
        keys = list(config_file.load())
    except ValueError:
        return []  # which is told elsewhere
    return [
        f"{config_file.path()}: there is no setting {key!r}{_meant(key, _flag_names())}"
        for key in keys
        if by_flag(key) is None
    ]


def _meant(name: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(name.replace("_", "-") if name.islower() else name, known, 1)
    return f"; did you mean {nearest[0]}?" if nearest else "."


def _flag_name(setting: Field[Any]) -> str:
    return setting.name.replace("_", "-")


def _flag_names() -> list[str]:
    return [_flag_name(setting) for setting in fields(Settings) if not setting.metadata["hidden"]]


def _converted(setting: Field[Any], value: Any, place: str) -> Any:
    """Return a value as the setting has it.

    Raises:
        ValueError: it is none.
    """
    kind, choices = setting.metadata["kind"], setting.metadata["choices"]
    if isinstance(value, bool) and choices and "on" in choices:
        value = "on" if value else "off"
    problem = f"{place} is not a valid {kind.__name__}"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(problem)  # noqa: TRY004 (as where a text is wrong)
    try:
        converted = value if type(value) is kind else kind(str(value))
    except ValueError:
        raise ValueError(problem) from None
    if choices and converted not in choices:
        raise ValueError(f"{place} is not one of {', '.join(choices)}")
    return converted
