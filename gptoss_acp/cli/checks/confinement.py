"""In which sandbox the model's commands run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gptoss_acp.cli.checks.finding import Finding, State, whole
from gptoss_acp.text import as_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gptoss_acp.settings import Settings


def sandbox(chosen: Settings) -> Iterator[Finding]:
    """Say which sandbox works, by trying it."""
    from gptoss_acp.workspace import mechanisms  # noqa: PLC0415 (can't be imported on each system)
    from gptoss_acp.workspace.view import Limits  # noqa: PLC0415 (with what is asked about them)

    if chosen.sandbox == "off":
        advice = f"{whole('--sandbox auto')} confines commands where the system can."
        yield Finding("sandbox", "look", "it is switched off", advice)
        return
    mechanism = mechanisms.find(())
    how = f"{mechanism.name}: commands run {mechanism.said(Limits())}" if mechanism else "none: commands run as you do"
    if mechanism and mechanism.kind == "full":
        yield Finding("sandbox", "ok", how)
        return
    state: State = "fix" if chosen.sandbox == "require" else "look"
    refused = f" Until then {whole('--sandbox require')} refuses every command." if state == "fix" else ""
    yield Finding("sandbox", state, how, as_sentence(mechanisms.HOW_TO_GET_ONE) + refused)
