"""A session: its ledger and its single running turn.

Knows the order in which prompts are heard. Knows nothing about JSON-RPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gptoss_acp import instructions, tools
from gptoss_acp.engine.api import Engine, Sampling
from gptoss_acp.ledger import Ledger
from gptoss_acp.settings import Mode, Settings
from gptoss_acp.tools import mcp
from gptoss_acp.tools.permissions import MODES, Permissions
from gptoss_acp.tools.registry import CODING_TOOLS, Tool
from gptoss_acp.tools.toolbox import Toolbox
from gptoss_acp.tools.workspace import Workspace
from gptoss_acp.turn import Outcome, Trace, Turn
from gptoss_acp.updates import Updates

if TYPE_CHECKING:
    from gptoss_acp.harmony.render import FunctionTool


class Session:
    """One conversation in a workspace."""

    def __init__(
        self,
        workspace: Workspace,
        engine: Engine,
        updates: Updates,
        settings: Settings,
        trace: Trace | None = None,
        *,
        mcp_servers: Sequence[mcp.Configuration] = (),
    ) -> None:
        self._engine = engine
        self._updates = updates
        self._settings = settings
        self._trace = trace
        self._ledger = Ledger()
        self._workspace = workspace
        self._permissions = Permissions(settings.mode)
        self._servers = mcp.Servers(mcp_servers, workspace.roots.cwd)
        self._tools: list[Tool] = list(CODING_TOOLS)
        self._render_prefix()
        self._unheard: list[str] = []
        self._turn: asyncio.Task[Outcome] | None = None
        self._turns = asyncio.Lock()
        self._cancels = 0

    async def prompt(self, text: str) -> Outcome:
        """Run one turn. A prompt that comes while another runs cancels that one and then runs.

        Cancelling the caller cancels the turn, and returns only when that has stopped.

        Raises:
            EngineError: the model could not be loaded, or failed; the next prompt works.
        """
        self.cancel()
        cancels = self._cancels
        self._unheard.append(text)
        async with self._turns:
            if self._cancels != cancels:
                return Outcome("cancelled")
            # What was said in prompts that were cancelled before they began is heard with this one.
            for unheard in self._unheard:
                self._ledger.add_user(unheard)
            self._unheard.clear()
            return await self._run()

    async def prepare(self) -> None:
        """Load the model, and let it read the system and developer messages before the first prompt comes."""
        await self._engine.load()
        self._engine.read_ahead(self._ledger.tokens())
        await self._servers.settled()
        if not self._turns.locked() and self._take_tools():
            self._engine.read_ahead(self._ledger.tokens())

    def close(self) -> None:
        """Stop all that runs for the session, which is over."""
        self.cancel()
        self._servers.stop()

    def cancel(self) -> None:
        """Stop the running turn and those that wait for it; without one, nothing happens to later turns."""
        self._cancels += 1
        self._stop()

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

    def _render_prefix(self) -> None:
        self._ledger.set_prefix(
            instructions.compose(self._workspace.roots.cwd, has_tools=True),
            tools.descriptions(self._tools),
            self._settings.effort,
            datetime.now().astimezone().date(),
        )

    def _take_tools(self) -> bool:
        """Tell the model of the MCP servers' tools from now on, if others are ready than before."""
        available = [*CODING_TOOLS, *self._servers.tools()]
        if available == self._tools:
            return False
        self._tools = available
        self._render_prefix()
        return True

    async def _take_turn(self) -> Outcome:
        await self._servers.settled(mcp.PATIENCE_SECONDS)
        self._take_tools()
        for problem in self._servers.take_problems():
            # A paragraph of its own, for some clients show one message right behind another.
            self._updates.message_chunk(str(uuid.uuid4()), problem + "\n\n")
        return await self._new_turn().run()

    def _new_turn(self) -> Turn:
        settings = self._settings
        sampling = Sampling(settings.temperature, settings.top_p, settings.seed, settings.max_tokens)
        constrain = functools.partial(_within_grammar, tools.descriptions(self._tools))
        return Turn(
            self._ledger,
            self._engine,
            self._updates,
            Toolbox(self._workspace, self._permissions, self._updates, self._tools),
            sampling,
            settings.max_turn_requests,
            constrain=constrain if settings.header_grammar == "on" else None,
            stop_repetition=settings.stop_repetition == "on",
            trace=self._trace,
        )

    async def _run(self) -> Outcome:
        task = self._turn = asyncio.create_task(self._take_turn())
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


def _within_grammar(described: Sequence[FunctionTool], prompt: Sequence[int]) -> Any:
    # Imported on the engine's thread: it needs MLX.
    from gptoss_acp.harmony.grammar import grammar_of

    return grammar_of(described).processor(prompt)
