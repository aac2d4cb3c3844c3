"""Without a command: the agent itself, for the editor that has started it."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from gptoss_acp import server
from gptoss_acp.trace import Trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gptoss_acp.engine.api import Engine
    from gptoss_acp.settings import Settings


BY_HAND = """\
gptoss-acp is started by an editor, which talks to it on stdin and stdout; it waits for that here. To use it:
`gptoss-acp setup` chooses a model, `gptoss-acp editor` adds it to your editor, `gptoss-acp chat` talks with it here.
Ctrl-D ends."""


def run(chosen: Settings, _: argparse.Namespace) -> None:
    if sys.stdin is not None and sys.stdin.isatty():
        print(BY_HAND, file=sys.stderr)
    server.run(chosen, make_engine, make_trace(chosen))


def make_engine(chosen: Settings) -> Engine:
    """Return the engine that `chosen` asks for; nothing is loaded yet."""
    # Not at the top: an editor waits for the first answer, which needs none of them.
    from gptoss_acp.engine.api import EngineOptions  # noqa: PLC0415
    from gptoss_acp.engine.mlx_engine import MlxEngine  # noqa: PLC0415
    from gptoss_acp.engine.scripted import ScriptedEngine  # noqa: PLC0415
    from gptoss_acp.vocabulary import CALL, STOP_IDS  # noqa: PLC0415

    if chosen.script is not None:
        try:
            return ScriptedEngine(chosen.script, chosen.context_length)
        except (OSError, ValueError, LookupError, TypeError) as error:
            sys.exit(f"gptoss-acp: --script can't be played: {error!r}")
    options = EngineOptions(
        stop_tokens=STOP_IDS,
        branch_tokens=(CALL,),
        context_length=chosen.context_length,
        memory_gb=chosen.memory_gb,
        wired_gb=chosen.wired_gb,
        disk_gb=chosen.disk_gb,
        idle_minutes=chosen.idle_minutes,
        hosts=chosen.hosts,
    )
    engine = MlxEngine(chosen.model, options, _matcher)
    engine.may_download = chosen.download == chosen.model
    return engine


def _matcher(constraint: Any, prompt: Sequence[int]) -> Any:
    """Return what holds a generation after `prompt` to a `harmony.constraint.Constraint`; see `engine.api`."""
    # Imported on the engine's thread, because it needs MLX.
    from gptoss_acp.harmony.header_grammar import grammar_of  # noqa: PLC0415 (slow)

    return grammar_of(constraint).processor(prompt)


def make_trace(chosen: Settings) -> Trace | None:
    """Return what writes down all that happens, if `chosen` asks for it."""
    if chosen.trace is None:
        return None
    try:
        return Trace(chosen.trace, _text_of)
    except (OSError, RuntimeError) as error:  # RuntimeError: a ~name of nobody
        sys.exit(f"gptoss-acp: --trace can't be written: {error}")


def _text_of(token: int) -> str:
    encoding = importlib.import_module("gptoss_acp.harmony.encoding")
    return str(encoding.load().decode([token]))
