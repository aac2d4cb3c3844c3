"""What comes before a dialogue: the system and developer messages, the real ones and varied ones.

Knows the agent's own instructions and tools. Knows nothing about turns or training.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random

from gptoss_acp import tools
from gptoss_acp.briefing import developer_message
from gptoss_acp.harmony import render
from gptoss_acp.harmony.render import Effort
from gptoss_acp.tool_description import ToolDescription
from tiny import requests, words


def real_prefix(cwd: str, today: date, effort: Effort, *, has_tools: bool) -> list[int]:
    """Return the system and developer messages as the agent sends them."""
    described = tools.descriptions() if has_tools else []
    text = developer_message.compose(Path(cwd), has_tools=has_tools)
    return render.system(effort, today, described) + render.developer(text, described)


def prefix(random: Random) -> list[int]:
    """Return random system and developer messages, mostly with the real wording."""
    effort: Effort = random.choices(("low", "medium", "high"), (40, 40, 20))[0]
    today = date(2024, 1, 1) + timedelta(random.randrange(1500))
    kind = random.choices(("tools", "no tools", "varied", "system", "none"), (55, 19, 19, 3, 4))[0]
    if kind == "none":
        return []
    if kind == "system":
        return render.system(effort, today, [])
    has_tools = kind == "tools" or (kind == "varied" and random.random() < 0.8)
    described = tools.descriptions() if has_tools else []
    cwd = Path(
        random.choice(("/home/", "/Users/", "/srv/", "/tmp/", "/"))
        + "/".join(words.word(random) for _ in range(random.randint(1, 4)))
    )
    text = developer_message.compose(cwd, has_tools=has_tools).removesuffix(developer_message.environment(cwd))
    if kind == "varied":
        text = _reworded(random, text)
        described = _some_tools(random, described)
    text += (
        f"Working directory: {cwd}\n"
        f"Operating system: {random.choice(('Linux', 'Darwin', 'Darwin', 'Windows'))}\n"
        f"Shell: {random.choice(('bash', 'zsh', 'zsh', 'sh', 'fish'))}\n"
    )
    if random.random() < 0.7:
        text += f"Git branch: {random.choice(('main', 'main', 'master', words.name(random)))}\n"
    if random.random() < 0.25:
        text += _project_notes(random)
    return render.system(effort, today, described) + render.developer(text, described)


def _reworded(random: Random, text: str) -> str:
    lines = [line for line in text.splitlines() if random.random() < 0.8]
    return "\n".join(requests.sentence(random) if random.random() < 0.1 else line for line in lines) + "\n"


def _some_tools(random: Random, described: list[ToolDescription]) -> list[ToolDescription]:
    chosen = random.sample(described, random.randint(min(3, len(described)), len(described)))
    return [
        replace(tool, description=tool.description if random.random() < 0.7 else words.text(random, 3, 8))
        for tool in chosen
    ]


def _project_notes(random: Random) -> str:
    lines = [_note(random) for _ in range(random.randint(1, 10))]
    folder = "".join(f"/{words.word(random)}" for _ in range(random.randint(0, 3)))
    return f"\nInstructions from {folder}/AGENTS.md:\n\n" + "\n".join(lines) + "\n"


def _note(random: Random) -> str:
    return random.choice(
        (
            f"# {words.word(random).capitalize()}",
            f"- {requests.sentence(random)}",
            requests.sentence(random),
            f"Run `{words.known_command(random)}` before you commit.",
            f"The entry point is `{words.file(random)}`.",
            f"- Use {words.word(random)}, not {words.word(random)}.",
            f"Tests are in {words.folder(random)}.",
        )
    )
