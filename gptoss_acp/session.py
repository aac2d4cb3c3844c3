"""A session: its ledger and its single running turn.

Knows the order in which prompts are heard. Knows nothing about JSON-RPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gptoss_acp import tools
from gptoss_acp.briefing import agents_md, developer_message
from gptoss_acp.conversation import ask_model, slash_commands
from gptoss_acp.conversation.compaction import Compactor
from gptoss_acp.conversation.model import ChosenModel
from gptoss_acp.conversation.own_prompts import OwnPrompts
from gptoss_acp.conversation.slash_commands import Commands, Given
from gptoss_acp.conversation.thinking import Thinking
from gptoss_acp.conversation.undo import Undo
from gptoss_acp.engine.api import Engine, Sampling, Trace
from gptoss_acp.harmony.constraint import constraint_to
from gptoss_acp.harmony.render import tellable
from gptoss_acp.protocol import config_options
from gptoss_acp.protocol.face import TurnCancelledError
from gptoss_acp.settings import Effort, Mode, Settings, as_effort, as_mode
from gptoss_acp.text import clip_line
from gptoss_acp.tools.mcp import servers
from gptoss_acp.tools.permissions import Permissions
from gptoss_acp.tools.registry import ASK_USER_TOOL, CODING_TOOLS, Tool
from gptoss_acp.tools.runner import Runner
from gptoss_acp.turn import Outcome, Turn
from gptoss_acp.workspace.mechanisms import NOT_SANDBOXED
from gptoss_acp.workspace.view import Limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from gptoss_acp.briefing.library import Library
    from gptoss_acp.conversation.journal import Journal
    from gptoss_acp.engine.api import Constraint
    from gptoss_acp.protocol.params import McpServer
    from gptoss_acp.protocol.updates import Updates
    from gptoss_acp.workspace.workspace import Workspace

log = logging.getLogger(__name__)


class Session:
    """One conversation in a workspace."""

    def __init__(
        self,
        workspace: Workspace,
        engine: Engine,
        updates: Updates,
        settings: Settings,
        journal: Journal,
        *,
        models: Sequence[str] = (),
        trace: Trace | None = None,
        mcp_servers: Sequence[McpServer] = (),
        own_prompts: OwnPrompts | None = None,
    ) -> None:
        self._model = ChosenModel(engine, config_options.as_length(journal.config.get("context", "")))
        self.models = list(dict.fromkeys([engine.model_name, *models]))
        self.updates = updates
        self._settings = settings
        self._trace = trace
        self.journal = journal
        self._ledger = journal.ledger
        cwd = workspace.roots.cwd
        self.workspace = workspace
        modes = workspace.face.capabilities.elicitation_modes
        can_ask = "form" in modes
        self._instructions = developer_message.compose(cwd, has_tools=True, asks_by_tool=can_ask)
        self._own_tools = [*CODING_TOOLS, ASK_USER_TOOL] if can_ask else list(CODING_TOOLS)
        self._problems: list[str] = []
        self._notes = agents_md.notes(cwd, self._problems.append)
        for problem in self._problems:
            log.warning("%s", problem)
        self._own_prompts = own_prompts or OwnPrompts(workspace)
        self._today = datetime.now().astimezone().date()
        self._background: set[asyncio.Task[None]] = set()
        self._over = False
        self._effort = as_effort(journal.config.get("effort", "")) or settings.effort
        confined = functools.partial(workspace.sandbox.server_words, cwd)
        self._servers = servers.Servers(mcp_servers, cwd, tellable, confined, modes=modes)
        self._tools: list[Tool] = list(self._own_tools)
        self._permissions = Permissions(as_mode(journal.config.get("mode", "")) or settings.mode)
        self._write_prefix()
        self._sampling = Sampling(settings.temperature, settings.top_p, settings.seed, settings.max_tokens)
        self._unnoted: list[Sequence[Mapping[str, Any]]] = []
        self._compactor = Compactor(self._ledger, self._model, updates, self._sampling, trace)
        self._undo = Undo(journal, workspace, self._permissions, updates)
        self._commands = Commands(self._model, updates, self._compactor, journal, self._undo, self)
        self._turn: asyncio.Task[Outcome] | None = None
        self._turns = asyncio.Lock()
        self._cancels = 0
        self._title_is_provisional = False
        self._naming: asyncio.Task[None] | None = None

    async def prompt(
        self,
        text: str,
        attached: Callable[[], Awaitable[str]] | None = None,
        blocks: Sequence[Mapping[str, Any]] = (),
        own: str = "",
    ) -> Outcome:
        """Run one turn, or a slash command. A prompt that comes while another runs cancels that one and then runs.

        `attached` reads what is to be heard after the text; that is a part of the turn, and can be cancelled with it.
        `blocks` is the prompt as the client shows it, `own` the user's part of the text, if not all. Cancelling the
        caller cancels the turn, and returns only when that has stopped. Whatever has been shown by then is on the disk
        when this returns.

        Raises:
            EngineError: the model could not be loaded, or failed; the next prompt works.
        """
        self.cancel()
        self._stop_naming()
        cancels = self._cancels
        self._unnoted.append(blocks)
        own = own or text
        if (meant := slash_commands.meant(own)) != own:
            text = own = meant
        command = slash_commands.read(own)
        heard = self.journal.hear(text, attached) if command is None else None
        async with self._turns:
            self._note_prompts()
            try:
                called = await self._look_up(own)
                if self._cancels != cancels:
                    return Outcome(stop_reason="cancelled")
                if called:
                    heard = heard or self.journal.hear(text, attached)
                    heard.mean(text.replace(own, called, 1) if own in text else called)
                elif command is not None:
                    return await self._run(self._obey(command))
                if self.journal.takes_title(title := clip_line(own, ask_model.LONGEST_TITLE)):
                    self._title_is_provisional = True
                    self.updates.title(title)
                outcome = await self._run(self._converse())
                if outcome.stop_reason == "end_turn":
                    self._name_soon()
                return outcome
            finally:
                await self.journal.commit()
                if problem := self.journal.take_problem():
                    self.updates.message_chunk(str(uuid.uuid4()), problem)

    def spawn(self, work: Coroutine[Any, Any, None], failure: str) -> asyncio.Task[None] | None:
        """Have `work` done beside the turns; it ends with the session. If it fails, the log says `failure`.

        Once the session is over, nothing is done any more.
        """
        if self._over:
            work.close()
            return None

        async def finish() -> None:
            try:
                await work
            except Exception:
                log.warning(failure, exc_info=True)

        task = asyncio.create_task(finish())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def prepare(self) -> None:
        """Get ready for the first prompt, in the background."""
        self.spawn(self._prepare(), "the model is not loaded; the next prompt will say why")

    async def _prepare(self) -> None:
        """Load the model, and let it read the system and developer messages before the first prompt comes."""
        if not self._turns.locked():
            await self._model.load()
            self._model.read_ahead(self._ledger.tokens())
        await self._servers.settled()
        if not self._turns.locked() and self._take_tools():
            self._model.read_ahead(self._ledger.tokens())

    def stop(self) -> None:
        """Stop all that runs for the session, which is over."""
        self._over = True
        self.cancel()
        for task in self._background:
            task.cancel()
        self._servers.stop()

    async def close(self) -> None:
        """Stop, and free the session for other processes once all of it is on the disk."""
        self.stop()
        async with self._turns:
            try:
                await self._clear_away()
            finally:
                await self.journal.close()

    async def clear_away(self) -> None:
        """End what a stopped session has started, and remove what is left of that."""
        async with self._turns:
            await self._clear_away()

    async def _clear_away(self) -> None:
        if self._background:
            await asyncio.wait(self._background)
        await self._servers.stopped()
        await self.workspace.close()

    def cancel(self) -> None:
        """Stop the running turn and those that wait for it; without one, nothing happens to later turns."""
        self._cancels += 1
        self._stop()

    def tell(self, problem: str) -> None:
        """Tell the user of something beside the conversation."""
        self.updates.notice(problem)

    def advertise(self) -> None:
        """Tell the client which slash commands there are."""
        self.updates.commands(slash_commands.advertised(self.library))

    @property
    def id(self) -> str:
        return self.journal.id

    @property
    def mode(self) -> Mode:
        return self._permissions.mode

    @property
    def commands_run(self) -> str:
        """How commands are confined, for `/status`."""
        sandbox = self.workspace.sandbox
        if self.mode == "full-access":
            return NOT_SANDBOXED
        hint = f"; {sandbox.missing}" if sandbox.missing else ""
        return sandbox.said(Limits(writes=self.mode != "read-only")) + hint

    @property
    def background(self) -> list[str]:
        """What has been started in the background, a line each, for `/status`."""
        return [str(program) for program in self.workspace.background.programs]

    @property
    def library(self) -> Library:
        """The skills and commands of the project and the user, for `/help`."""
        return self._own_prompts.library

    def set_mode(self, mode: Mode) -> None:
        """Change what may be done without asking, from the next action on, also of a running turn."""
        was_free, self._permissions.mode = self.mode == "full-access", mode
        if was_free != (mode == "full-access") and self.workspace.sandbox.told():
            self._write_prefix()
        self.journal.set_config(mode=mode)

    @property
    def effort(self) -> Effort:
        return self._effort

    def set_effort(self, effort: Effort) -> None:
        """Change how hard the model thinks, from its next call on."""
        self._effort = effort
        self.journal.set_config(effort=effort)
        self._write_prefix()
        self._model.read_ahead(self._ledger.tokens())

    def set_model(self, engine: Engine) -> None:
        """Let another model go on with the conversation, from the next turn on."""
        self._model.choose(engine)
        if not self._turns.locked():
            self._model.settle()
        self.journal.set_config(model=engine.model_name)

    def set_context(self, choice: str) -> None:
        """Change how much of the model's context the conversation may fill, from the next model call on."""
        self._model.longest_context = config_options.as_length(choice)
        self.journal.set_config(context=choice)

    def modes(self) -> dict[str, Any]:
        """Return the modes in ACP's older form, `SessionModeState`."""
        return config_options.modes(self.mode)

    def config_options(self) -> list[dict[str, Any]]:
        """Return every config option with its current value, in ACP's form."""
        model = self._model
        return config_options.config_options(
            self.mode, model.chosen_name, self.models, self.effort, model.longest_context
        )

    def _write_prefix(self) -> None:
        described = tools.descriptions(self._tools)
        confined = "" if self.mode == "full-access" else self.workspace.sandbox.told()
        told = self._instructions + confined + self._own_prompts.told + self._notes
        self._ledger.set_prefix(told, described, self._effort, self._today)

    def _take_tools(self) -> bool:
        """Tell the model of the MCP servers' tools from now on, if others are ready than before."""
        available = [*self._own_tools, *self._servers.tools()]
        if available == self._tools:
            return False
        self._tools = available
        self._write_prefix()
        return True

    async def _look_up(self, prompt: str) -> str | None:
        """Return what a prompt stands for that begins with a command of the library, which is read anew."""
        before = self.library.commands
        meant = await self._own_prompts.look_up(prompt)
        if self.library.commands != before:
            self.advertise()
        return meant

    def _note_prompts(self) -> None:
        # Not when they come: what the turn before has still to say stands before them.
        while self._unnoted:
            self.journal.asked(self._unnoted.pop(0))

    async def _converse(self) -> Outcome:
        self._servers.restart_ended()
        await self._servers.settled(servers.PATIENCE_SECONDS)
        self._take_tools()
        self._tell_problems()
        await self.journal.take_in()
        identifier = str(uuid.uuid4())
        before_changes = functools.partial(self.journal.before_changes, identifier)
        runner = Runner(self.workspace, self._permissions, self.updates, self._tools, before_changes)
        turn = self._new_turn(runner)

        def follow_servers() -> None:
            if self._take_tools():
                runner.take(self._tools)
                turn.constraint = self._constraint()
            self._tell_problems()

        turn.before_call = follow_servers
        try:
            return await turn.run()
        finally:
            self._commands.last_turn = turn.outcome
            self._undo.note(identifier, runner.changes)

    async def _obey(self, given: Given) -> Outcome:
        self._tell_problems()
        outcome = Outcome()
        try:
            answer = await self._commands.obey(given, outcome)
        except (asyncio.CancelledError, TurnCancelledError):
            outcome.stop_reason = "cancelled"
        else:
            self.updates.message_chunk(str(uuid.uuid4()), answer, "final")
        return outcome

    def _name_soon(self) -> None:
        """Let the model find a better title than the prompt, unless it has more important things to do."""
        if self._title_is_provisional and self._settings.titles == "on":
            self._naming = self.spawn(self._name(), "the session keeps its title")

    async def _name(self) -> None:
        title = await ask_model.title(self._model, self._ledger, self._sampling, self._trace)
        self._title_is_provisional = False
        if title:
            self.updates.title(title)
            await self.journal.commit()

    def _stop_naming(self) -> None:
        if self._naming is not None:
            self._naming.cancel()

    def _new_turn(self, runner: Runner) -> Turn:
        settings = self._settings
        return Turn(
            self.journal,
            self._model,
            self.updates,
            runner,
            self._compactor,
            Thinking(self.updates, shown=settings.thinking == "on"),
            self._sampling,
            settings.max_turn_requests,
            constraint=self._constraint(),
            stop_repetition=settings.stop_repetition == "on",
            trace=self._trace,
        )

    def _constraint(self) -> Constraint | None:
        described = tools.descriptions(self._tools)
        return constraint_to(described) if self._settings.header_grammar == "on" else None

    def _tell_problems(self) -> None:
        for problem in [*self._problems, *self._own_prompts.take_problems(), *self._servers.take_problems()]:
            self.tell(problem)
        self._problems.clear()

    async def _run(self, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        task = self._turn = asyncio.create_task(work)
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
        return Outcome(stop_reason="cancelled") if task.cancelled() else task.result()

    def _stop(self) -> None:
        # Once only: a second cancel would interrupt the turn while it waits for the engine to let go.
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.cancel()
