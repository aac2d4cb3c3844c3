"""A session: its ledger and its single running turn.

Knows the order in which prompts are heard. Knows nothing about JSON-RPC.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from gptoss_acp import instructions, project, tools
from gptoss_acp.engine.api import Engine, Sampling
from gptoss_acp.ledger import Ledger
from gptoss_acp.settings import Mode, Settings
from gptoss_acp.tools.permissions import MODES, Permissions
from gptoss_acp.tools.toolbox import Toolbox
from gptoss_acp.tools.workspace import Workspace
from gptoss_acp.turn import Outcome, Trace, Turn
from gptoss_acp.updates import Updates

Attached = Callable[[], Awaitable[str]]


async def _nothing() -> str:
    return ""


class Session:
    """One conversation in a workspace."""

    def __init__(
        self,
        workspace: Workspace,
        engine: Engine,
        updates: Updates,
        settings: Settings,
        trace: Trace | None = None,
    ) -> None:
        self._engine = engine
        self._updates = updates
        self._settings = settings
        self._trace = trace
        self._ledger = Ledger()
        self._ledger.set_prefix(
            instructions.compose(workspace.roots.cwd, has_tools=True) + project.notes(workspace.roots.cwd),
            tools.descriptions(),
            settings.effort,
            datetime.now().astimezone().date(),
        )
        self._workspace = workspace
        self._permissions = Permissions(settings.mode)
        self._unheard: list[tuple[str, Attached]] = []
        self._turn: asyncio.Task[Outcome] | None = None
        self._turns = asyncio.Lock()
        self._cancels = 0

    async def prompt(self, text: str, attached: Attached = _nothing) -> Outcome:
        """Run one turn. A prompt that comes while another runs cancels that one and then runs.

        `attached` reads what is to be heard after the text; that is a part of the turn, and can be cancelled with it.
        Cancelling the caller cancels the turn, and returns only when that has stopped.

        Raises:
            EngineError: the model could not be loaded, or failed; the next prompt works.
        """
        self.cancel()
        cancels = self._cancels
        self._unheard.append((text, attached))
        async with self._turns:
            if self._cancels != cancels:
                return Outcome("cancelled")
            return await self._run(self._hear_and_answer())

    async def prepare(self) -> None:
        """Load the model, and let it read the system and developer messages before the first prompt comes."""
        await self._engine.load()
        self._engine.read_ahead(self._ledger.tokens())

    def cancel(self) -> None:
        """Stop the running turn and those that wait for it; without one, nothing happens to later turns."""
        self._cancels += 1
        self._stop()

    @property
    def workspace(self) -> Workspace:
        return self._workspace

    @property
    def mode(self) -> Mode:
        return self._permissions.mode

    def set_mode(self, mode: Mode) -> None:
        """Change what may be done without asking, from the next action on, also of a running turn."""
        self._permissions.mode = mode

    def modes(self) -> dict[str, Any]:
        """Return the modes in ACP's older form, `SessionModeState`."""
        available = [{"id": mode, "name": name, "description": text} for mode, (name, text) in MODES.items()]
        return {"currentModeId": self.mode, "availableModes": available}

    def config_options(self) -> list[dict[str, Any]]:
        """Return every config option with its current value, in ACP's form."""
        modes = [{"value": mode, "name": name, "description": text} for mode, (name, text) in MODES.items()]
        mode = {"id": "mode", "name": "Mode", "description": "What the agent may do without asking", "category": "mode"}
        return [{**mode, "type": "select", "currentValue": self.mode, "options": modes}]

    async def _hear_and_answer(self) -> Outcome:
        # What was said in prompts that were cancelled before they began is heard with this one.
        while self._unheard:
            text, attached = self._unheard.pop(0)
            try:
                self._ledger.add_user(text + await attached())
            except asyncio.CancelledError:
                self._unheard.insert(0, (text, attached))
                raise
        return await self._new_turn().run()

    def _new_turn(self) -> Turn:
        settings = self._settings
        sampling = Sampling(settings.temperature, settings.top_p, settings.seed, settings.max_tokens)
        return Turn(
            self._ledger,
            self._engine,
            self._updates,
            Toolbox(self._workspace, self._permissions, self._updates),
            sampling,
            settings.max_turn_requests,
            constrain=_within_grammar if settings.header_grammar == "on" else None,
            stop_repetition=settings.stop_repetition == "on",
            trace=self._trace,
        )

    async def _run(self, turn: Coroutine[Any, Any, Outcome]) -> Outcome:
        task = self._turn = asyncio.create_task(turn)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._stop()
            while not task.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            raise
        finally:
            self._turn = None
        return Outcome("cancelled") if task.cancelled() else task.result()

    def _stop(self) -> None:
        # Once only: a second cancel would interrupt the turn while it waits for the engine to let go.
        if self._turn is not None and not self._turn.cancelling():
            self._turn.cancel()


def _within_grammar(prompt: Sequence[int]) -> Any:
    # Imported on the engine's thread: it needs MLX.
    from gptoss_acp.harmony.grammar import grammar_of

    return grammar_of(tools.descriptions()).processor(prompt)
