"""Every setting, its default and its unit. A flag wins over the environment variable of the same name, that over the
configuration file.
"""

from __future__ import annotations

import argparse
import contextlib
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

_KINDS: dict[type, str] = {str: "a text", int: "a whole number", float: "a number", Path: "a path"}

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
    hosts: Path | None = field(
        default=None,
        metadata=_flag(Path, "a file that names the machines which compute the model together, as mlx.launch has it"),
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
        metadata=_flag(
            float, "sampling temperature, 0 is greedy; default: the model's own, 1.0 for gpt-oss", between=(0, 10)
        ),
    )
    top_p: float | None = field(
        default=None,
        metadata=_flag(
            float,
            "sample from the likeliest tokens of this mass; default: the model's own, 1.0 for gpt-oss",
            between=(0, 1),
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
            int,
            "most tokens of a conversation; default: the model's own, or what the memory for contexts holds",
            between=(LEAST_CONTEXT, math.inf),
        ),
    )
    memory_gb: float | None = field(
        default=None,
        metadata=_flag(
            float,
            "GB of memory for contexts; default: what a program may use, less the model and its work",
            between=(0.01, 10_000),
        ),
    )
    wired_gb: float | None = field(
        default=None,
        metadata=_flag(
            float,
            "GB that a Mac may not page out while the model is loaded, 0 for none; default: the model's size and 1 GB, "
            "at most three quarters of what macOS recommends",
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
    thinking: Switch = field(
        default="on",
        metadata=_flag(str, "show that the model thinks, for how long and how much; never what", ("on", "off")),
    )
    titles: Switch = field(
        default="on",
        metadata=_flag(
            str,
            "let the model name a session after its first answer; until then its title is the prompt",
            ("on", "off"),
        ),
    )
    log_level: str | None = field(
        default=None,
        metadata=_flag(
            str,
            "also log to stderr, from this level on; the log file is always written",
            ("debug", "info", "warning", "error"),
        ),
    )
    trace: Path | None = field(
        default=None, metadata=_flag(Path, "write every line of the wire and every token, reasoning too, to this file")
    )
    script: Path | None = field(
        default=None, metadata=_flag(Path, "play the token ids in this file instead of a model's", hidden=True)
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            if problem := _problem(setting, getattr(self, setting.name)):
                raise ValueError(f"--{_flag_name(setting)} {problem}")


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
    try:
        return read(parser, choose(vars(parser.parse_args(arguments))))
    except ValueError as error:
        parser.error(str(error))


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


def choose(given: Mapping[str, Any]) -> dict[str, Choice]:
    """Return each setting by its field's name: as the command line has it, else the environment, else the file.

    Raises:
        ValueError: what the environment or the file says is wrong; the message says where.
    """
    file = config_file.load()
    return {setting.name: _choose(setting, given, file) for setting in fields(Settings)}


def flags(given: Mapping[str, Any]) -> dict[str, Choice]:
    """Return each setting as the command line has it, else its default."""
    return {setting.name: _flag_or_default(setting, given) for setting in fields(Settings)}


def _choose(setting: Field[Any], given: Mapping[str, Any], file: Mapping[str, Any]) -> Choice:
    flag, variable = _flag_name(setting), _variable(setting.name)
    if given.get(setting.name) is not None:
        return _flag_or_default(setting, given)
    if text := os.environ.get(variable):
        return Choice(_converted(setting, text, variable), variable)
    if flag in file and not setting.metadata["hidden"]:
        return Choice(_converted(setting, file[flag], f"{flag} in {config_file.path()}"), config_file.NAME)
    return Choice(setting.default)


def _flag_or_default(setting: Field[Any], given: Mapping[str, Any]) -> Choice:
    value = given.get(setting.name)
    return Choice(setting.default) if value is None else Choice(value, f"--{_flag_name(setting)}")


def names() -> list[str]:
    """Return the name of each setting that people may know of, as its flag and the file have it."""
    return [_flag_name(setting) for setting in fields(Settings) if not setting.metadata["hidden"]]


def checked(name: str, text: str) -> Any:
    """Return the value that a text means for the setting `name`.

    Raises:
        ValueError: there is no such setting, or the value is wrong.
    """
    check_name(name)
    (setting,) = (setting for setting in fields(Settings) if _flag_name(setting) == name)
    return _converted(setting, text, name)


def check_name(name: str) -> None:
    """Raise ValueError where there is no setting of this name; it says what may be meant."""
    if name not in names():
        raise ValueError(f"there is no setting {name!r}{_meant(_nearest_keys(name))}")


@dataclass(frozen=True)
class Unknown:
    """A name that is no setting, where it stands, and which setting's names are nearest to it."""

    name: str
    place: str
    nearest: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name!r} in {self.place} is no setting{_meant(self.nearest)}"


def unknown() -> list[Unknown]:
    """Return what is in the configuration file and the environment that is no setting."""
    return [*unknown_keys(), *unknown_variables()]


def unknown_keys() -> list[Unknown]:
    """Return the names in the configuration file that are no settings."""
    try:
        keys = [key for key in config_file.load() if key not in names()]
    except ValueError:
        return []  # which is told elsewhere
    return [Unknown(key, str(config_file.path()), _nearest_keys(key)) for key in keys]


def unknown_variables() -> list[Unknown]:
    """Return the variables that look like settings and are none."""
    known = [_variable(setting.name) for setting in fields(Settings)]
    return [
        Unknown(name, "the environment", tuple(map(_variable, _nearest_keys(name[len(ENVIRONMENT_PREFIX) :]))))
        for name in sorted(os.environ)
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name not in known
    ]


def _nearest_keys(name: str) -> tuple[str, ...]:
    """Return the one or two settings whose names are most like this one, if any is."""
    return tuple(difflib.get_close_matches(name.lower().replace("_", "-"), names(), 2))


def _meant(nearest: Sequence[str]) -> str:
    return f" (did you mean {' or '.join(nearest)}?)" if nearest else ""


def _flag_name(setting: Field[Any]) -> str:
    return setting.name.replace("_", "-")


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper().replace("-", "_")


def _converted(setting: Field[Any], value: Any, place: str) -> Any:
    """Return the value that `place` has for a setting, as the setting has it.

    Raises:
        ValueError: it is none.
    """
    kind, choices = setting.metadata["kind"], setting.metadata["choices"]
    if isinstance(value, bool) and choices and "on" in choices:
        value = "on" if value else "off"
    problem: str | None = f"must be {_KINDS[kind]}, not {value!r}"
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            value = value if type(value) is kind else kind(str(value))
            problem = _problem(setting, value)
    if problem is not None:
        raise ValueError(f"{place} {problem}")
    return value


def _problem(setting: Field[Any], value: Any) -> str | None:
    """Return what is wrong with a value of the right kind, if anything is."""
    choices, (low, high) = setting.metadata["choices"], setting.metadata["between"]
    if choices and value is not None and value not in choices:
        return f"must be one of {', '.join(choices)}, not {value!r}"
    # A number that is none is not between anything.
    if isinstance(value, int | float) and not low <= value <= high:
        return f"must be {f'between {low:,g} and {high:,g}' if high < math.inf else f'{low:,g} or more'}, not {value}"
    if "\0" in str(value):
        return "must not have a null character in it"
    if setting.name == "encoding" and value and not _is_encoding(value):
        return f"must be the name of one, such as cp1252 or gb18030, not {value!r}"
    return None


def _is_encoding(name: str) -> bool:
    """Whether it is an encoding of text: not of bytes (hex), letters (rot13) or domain names (idna)."""
    try:
        "a..b".encode(name)
    except (LookupError, ValueError):
        return False
    return True
