"""Names of settings that are none: somebody has set something, and nothing came of it."""

from __future__ import annotations

import difflib
import os
from dataclasses import fields
from typing import TYPE_CHECKING

from gptoss_acp import ENVIRONMENT_PREFIX, config_file
from gptoss_acp.cli.checks.finding import Finding, whole
from gptoss_acp.settings import Settings, unknown_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

_KNOWN = [setting.name.upper() for setting in fields(Settings)]


def variables(_: Settings) -> Iterator[Finding]:
    """Say which variables are known, and what the others may have been meant to be."""
    names = sorted(name for name in os.environ if name.upper().startswith(ENVIRONMENT_PREFIX))
    unknown = [name for name in names if name.removeprefix(ENVIRONMENT_PREFIX) not in _KNOWN]
    for name in unknown:
        nearest = difflib.get_close_matches(name[len(ENVIRONMENT_PREFIX) :].upper(), _KNOWN, n=2)
        meant = " or ".join(ENVIRONMENT_PREFIX + setting for setting in nearest)
        advice = f"Is {meant} meant?" if meant else f"{whole('gptoss-acp --help')} lists them."
        yield Finding("variables", "look", f"{whole(name)} is no setting", advice)
    if not unknown:
        yield Finding("variables", "ok", ", ".join(names) or f"no {ENVIRONMENT_PREFIX}* is set")


def keys(_: Settings) -> Iterator[Finding]:
    """Say which names in the configuration file are no settings."""
    problems = unknown_keys()
    for problem in problems:
        yield Finding("config", "look", whole(problem), f"{whole('gptoss-acp config')} lists the settings.")
    if not problems:
        there = "" if config_file.path().exists() else ", which is not there"
        yield Finding("config", "ok", f"{whole(config_file.path())}{there}")
