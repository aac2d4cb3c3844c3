"""`gptoss-acp setup`: a conversation in a terminal, at whose end a model works on this machine.

Knows the terminal, what the machine has and which checkpoints there are. Knows nothing about ACP.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.prompt import Prompt
from rich.table import Table
from rich.text import Text

from gptoss_acp import config_file, server, tools
from gptoss_acp.briefing import developer_message
from gptoss_acp.cli import ending, entry, printing
from gptoss_acp.cli.serve import make_engine
from gptoss_acp.engine import checkpoints, memory
from gptoss_acp.engine.api import Engine, EngineError, ModelMissingError, Sampling
from gptoss_acp.engine.download import download
from gptoss_acp.engine.ranks import hostfile
from gptoss_acp.harmony.parser import MessageStarted, Parser, TextDelta
from gptoss_acp.ledger import Ledger
from gptoss_acp.settings import ENOUGH_CONTEXT, Settings
from gptoss_acp.text import visible

if TYPE_CHECKING:
    import argparse

FIRST_PROMPT = "Say hello in one short sentence."
FIRST_TOKENS = 300
POLL_SECONDS = 0.2

DESCRIPTIONS = {
    "openai/gpt-oss-20b": "OpenAI's own, experts in 4 bits",
    "mlx-community/gpt-oss-20b-MXFP4-Q8": "the same, the rest in 8 bits: needs less memory",
    "openai/gpt-oss-120b": "more capable and slower",
}


class LeftError(Exception):
    """The user has had enough, and nothing was begun."""


@dataclass(frozen=True)
class Choice:
    """A checkpoint that can be chosen; `size` is None where that is not known before it is downloaded.

    Of several `machines` each has all its files, and computes a part of it.
    """

    name: str
    description: str
    size: checkpoints.Size | None
    present: bool
    machines: int = 1

    @property
    def context(self) -> int | None:
        """Tokens of a conversation for which this machine has room beside it, 0 where it does not fit."""
        if (taken := self.taken) is None:
            return None
        return memory.context_length(taken.nbytes, taken.bytes_per_token, taken.context_length)

    @property
    def taken(self) -> checkpoints.Size | None:
        """What it takes of this machine."""
        return self.size and self.size.share(self.machines)


def run(chosen: Settings, given: argparse.Namespace) -> None:
    """Set up a model, and end the process: with code 0 only once it has answered a first prompt."""
    server.set_up_logging(chosen.log_level)
    wanted = chosen.model if given.model is not None or chosen.model != Settings.model else None
    ending.leave(_set_up(chosen, wanted, ask=not given.yes, force=given.force))


def _set_up(chosen: Settings, wanted: str | None, *, ask: bool, force: bool) -> int:
    """Return the process's exit code. `wanted` is the model that was asked for: nothing else is recommended then."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        model = _choose(console, wanted, machines=hostfile.count(chosen.hosts), ask=ask, force=force)
        asyncio.run(_make_ready(console, model, make_engine(replace(chosen, model=model))))
    except EngineError as error:
        console.print()
        printing.say(console, str(error), "red")
        return ending.FAILED
    except LeftError:
        console.print("\nNothing was downloaded, and nothing was changed.")
        return ending.CANCELLED
    except KeyboardInterrupt:
        console.print("\nStopped. What has arrived is kept: run setup again to go on from there.")
        return ending.CANCELLED
    _keep(console, model, chosen.hosts)
    _show_editor(console)
    return ending.DONE


def _choose(console: Console, wanted: str | None, *, machines: int = 1, ask: bool, force: bool) -> str:
    """Show the machine and what would run on it, and return the name of the checkpoint that is wanted.

    Raises:
        EngineError: none is, it can't be had, or it is not sure to fit.
        LeftError: the user has had enough.
    """
    has = f"{memory.total() / 1e9:.0f} GB of memory; MLX uses {memory.backend()}"
    room = f"where a model and its contexts may take {memory.usable() / 1e9:.1f} GB"
    printing.say(console, f"This machine: {has}, {room}.")
    if machines > 1:
        told = "What is said of contexts holds where each has as much memory as this one."
        printing.say(console, f"Of {machines} machines each computes a part of the model. {told}")
    console.print()
    choices = _choices(wanted, machines)
    recommended = _recommended(choices, wanted)
    console.print(_table(choices, recommended))
    if recommended.taken and not recommended.context:
        short = memory.shortage(recommended.taken.nbytes, recommended.taken.of_contexts)
        printing.say(console, f"{recommended.name} does not fit. {short}", "yellow")
        printing.say(console, "As it is, this machine may become slow, or the model may not load.", "yellow")
        console.print()
    choice = _asked(console, choices, recommended) if ask else recommended
    if not (choice.present or choice.context or force):
        _refuse_or_ask(console, choice, ask=ask)
    return choice.name


def _asked(console: Console, choices: list[Choice], recommended: Choice) -> Choice:
    default = str(choices.index(recommended) + 1)
    while True:
        answer = _answer(console, "Which one (a number, another name, or q to leave)", default).strip()
        if answer == "q":
            raise LeftError
        if answer.isdecimal() and 1 <= int(answer) <= len(choices):
            return choices[int(answer) - 1]
        if not answer.isdecimal() and (checkpoints.is_repository(answer) or answer[:1] in "/.~"):
            try:
                return _judge(answer, "the one asked for", recommended.machines)
            except EngineError as error:
                printing.say(console, str(error))
        else:
            printing.say(console, f"{answer} is neither one of them nor a repository (owner/name) or folder.")


def _refuse_or_ask(console: Console, choice: Choice, *, ask: bool) -> None:
    problem = f"{choice.name} is not sure to fit on this machine."
    if not ask:
        raise EngineError(f"{problem} --force downloads it all the same.")
    printing.say(console, problem, "yellow")
    if _answer(console, "Download it all the same? (y/n)", "n").strip().lower() not in {"y", "yes"}:
        raise LeftError


def _answer(console: Console, question: str, default: str) -> str:
    try:
        return Prompt.ask(question, console=console, default=default)
    except EOFError:
        raise EngineError("There is nobody to ask. Run it in a terminal, or with --yes.") from None
    except KeyboardInterrupt:
        raise LeftError from None


def _choices(wanted: str | None, machines: int = 1) -> list[Choice]:
    """Return the well-known checkpoints, and first the one that is wanted if it is another."""
    names = DESCRIPTIONS if wanted is None or wanted in DESCRIPTIONS else {wanted: "the one asked for", **DESCRIPTIONS}
    return [_judge(name, description, machines) for name, description in names.items()]


def _judge(name: str, description: str, machines: int) -> Choice:
    """Return what is known of a checkpoint.

    Raises:
        EngineError: it is not here, and can't be downloaded either.
    """
    size = checkpoints.WELL_KNOWN.get(name)
    try:
        folder = checkpoints.find(name)
    except ModelMissingError as error:
        if not error.downloadable:
            raise
        return Choice(name, description, size, present=False, machines=machines)
    size = checkpoints.size(name, folder) if folder else size
    return Choice(name, description, size, present=True, machines=machines)


def _recommended(choices: list[Choice], wanted: str | None) -> Choice:
    """Return the one that is wanted, else the first with room enough, else that with most, of several the smallest."""
    if wanted is not None:
        return next(choice for choice in choices if choice.name == wanted)
    roomiest = max(choices, key=lambda choice: (choice.context or 0, -(choice.size.nbytes if choice.size else 0)))
    return next((choice for choice in choices if (choice.context or 0) >= ENOUGH_CONTEXT), roomiest)


def _table(choices: list[Choice], recommended: Choice) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for number, choice in enumerate(choices, 1):
        size = memory.gb(choice.size.nbytes) if choice.size else "size unknown"
        size = "on this machine" if choice.present else size
        room = choice.context
        context = f"{room:,} tokens" if room else "" if room is None else "does not fit"
        notes = [Text(note) for note in (size, context, choice.description) if note]
        notes += [Text("recommended", "green")] * (choice is recommended)
        # Below one another, for a name must be whole however narrow the terminal is.
        table.add_row(str(number), Text(choice.name, "bold"))
        table.add_row("", Text(", ").join(notes))
    return table


async def _make_ready(console: Console, model: str, engine: Engine) -> None:
    """Download, check, load and try the model.

    Raises:
        EngineError: one of these fails; the message says what to do.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("Downloading", total=None)
        await download(model, lambda done, total: progress.update(task, completed=done, total=total))
        progress.remove_task(task)
    printing.say_done(console, f"The files of {model} are all here and whole.")
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            await _load(engine, progress)
        printing.say_done(console, f"It is loaded, for contexts of {engine.context_length:,} tokens.")
        await _say_hello(console, engine)
    finally:
        engine.close()


async def _load(engine: Engine, progress: Progress) -> None:
    task = progress.add_task("Loading", total=None)
    loading = asyncio.create_task(engine.load())
    while not (await asyncio.wait([loading], timeout=POLL_SECONDS))[0]:
        now = engine.load_progress
        progress.update(task, completed=now.done, total=now.total or None)
    loading.result()


async def _say_hello(console: Console, engine: Engine) -> None:
    """Put a first prompt to the model, as a session would, and show its answer."""
    console.print(f"\n[bold]> {FIRST_PROMPT}[/bold]")
    ledger = Ledger()
    instruction = developer_message.compose(Path.cwd(), has_tools=True)
    ledger.set_prefix(instruction, tools.descriptions(), "low", datetime.now().astimezone().date())
    ledger.add_user(FIRST_PROMPT)
    parser, is_for_the_user = Parser(), False
    generation = engine.generate(ledger.prompt(), Sampling(max_tokens=FIRST_TOKENS), (ledger.prefix_length,))
    async for token in generation:
        for event in parser.feed(token):
            if isinstance(event, MessageStarted):
                is_for_the_user = event.visible
            elif isinstance(event, TextDelta) and is_for_the_user:
                console.print(visible(event.text), end="", markup=False)
    figures = generation.figures
    seconds, speed = figures.first_token_seconds, figures.tokens_per_second
    console.print(f"\n[dim]first token after {seconds:.1f} s, then {speed:.1f} tokens/s[/dim]")


def _keep(console: Console, model: str, hosts: Path | None) -> None:
    """Let the agent have this model from now on, on these machines, whoever starts it."""
    try:
        config_file.change("model", checkpoints.lasting_name(model))
        if hosts:
            config_file.change("hosts", entry.lasting_path(hosts))
    except (OSError, ValueError) as error:
        printing.say(console, f"The choice could not be kept: {error}", "yellow")
    else:
        console.print()
        where = f", computed by the machines of {hosts}" if hosts else ""
        printing.say(console, f"From now on {model} is the model{where}: {config_file.path()} says so.")


def _show_editor(console: Console) -> None:
    server = {entry.NAME: entry.for_zed(entry.server())}
    console.print()
    by_hand = "By hand, add this to Zed's settings.json; other editors take the same command."
    printing.say(console, f"To your editor `gptoss-acp editor` adds it. {by_hand}")
    printing.say(console, "Then ask it, say: What does this project do?")
    console.print()
    console.print(json.dumps({"agent_servers": server}, indent=2), markup=False)
