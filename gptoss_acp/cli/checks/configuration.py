"""The configuration file and the variables that are settings: whether they can be read, and what in them is none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gptoss_acp import ENVIRONMENT_PREFIX, config_file, settings
from gptoss_acp.cli.checks.finding import Finding, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gptoss_acp.settings import Settings, Unknown


def keys(_: Settings) -> Iterator[Finding]:
    """Say whether every setting has a value that it can have, and which names in the file are none's."""
    try:
        settings.choose({})
    except ValueError as error:
        reason = str(error).replace(str(config_file.path()), whole(config_file.path()))
        yield Finding("config", "fix", reason, "Mend that line. Until then no other command that needs settings works.")
        return
    there = "" if config_file.path().exists() else ", which is not there"
    yield from _strangers("config", settings.unknown_keys()) or [
        Finding("config", "ok", f"{whole(config_file.path())}{there}")
    ]


def variables(_: Settings) -> Iterator[Finding]:
    """Say which variables are known, and what the others may have been meant to be."""
    names = sorted(name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX))
    yield from _strangers("variables", settings.unknown_variables()) or [
        Finding("variables", "ok", ", ".join(names) or f"no {ENVIRONMENT_PREFIX}* is set")
    ]


def _strangers(check: str, unknown: Sequence[Unknown]) -> list[Finding]:
    command = whole("gptoss-acp config")
    return [
        Finding(
            check,
            "look",
            f"{whole(stranger.name)} in {whole(stranger.place)} is no setting",
            f"Is {' or '.join(stranger.nearest)} meant?" if stranger.nearest else f"{command} lists the settings.",
        )
        for stranger in unknown
    ]
