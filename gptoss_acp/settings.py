"""Every setting, its default and its unit. A flag wins over the environment variable of the same name."""

from __future__ import annotations

import argparse
import codecs
import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from gptoss_acp import ENVIRONMENT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """How the agent runs; every field is a flag and an environment variable."""

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


def add_flags(parser: argparse.ArgumentParser) -> None:
    for setting in fields(Settings):
        description = setting.metadata["help"]
        if setting.default is not None:
            description += f" (default: {setting.default})"
        parser.add_argument(
            "--" + setting.name.replace("_", "-"),
            type=setting.metadata["kind"],
            default=None,
            choices=setting.metadata["choices"],
            help=argparse.SUPPRESS if setting.metadata["hidden"] else description,
        )


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings of a command line; a wrong value ends the program with a clear error."""
    return read(parser, vars(parser.parse_args(arguments)))


def read(parser: argparse.ArgumentParser, given: dict[str, Any]) -> Settings:
    """Return the settings that the command line has given over those of the environment."""
    values = {}
    for setting in fields(Settings):
        value = given[setting.name]
        variable = ENVIRONMENT_PREFIX + setting.name.upper()
        if value is None and (text := os.environ.get(variable)):
            value = _from_environment(parser, variable, text, setting.metadata)
        if value is not None:
            values[setting.name] = value
    try:
        return Settings(**values)
    except ValueError as error:
        parser.error(str(error))


def _from_environment(parser: argparse.ArgumentParser, variable: str, text: str, metadata: Any) -> Any:
    choices = metadata["choices"]
    try:
        value = metadata["kind"](text)
    except ValueError:
        parser.error(f"{variable}={text} is not a valid {metadata['kind'].__name__}")
    if choices and value not in choices:
        parser.error(f"{variable}={text} is not one of {', '.join(choices)}")
    return value
