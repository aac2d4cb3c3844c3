"""What comes before a dialogue: the system and developer messages, the real ones and varied ones.

Knows the agent's own instructions and tools. Knows nothing about turns or training.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

from gptoss_acp import tools
from gptoss_acp.briefing import developer_message
from gptoss_acp.harmony import render
from gptoss_acp.harmony.render import Effort
from gptoss_acp.tool_description import ToolDescription
from gptoss_acp.tools.registry import ASK_USER_TOOL
from tiny import requests, words

_ASK_USER = ASK_USER_TOOL.description
_SANDBOX = (
    "Commands: run in a sandbox; they write only in the working directory and have no network.",
    "Commands: run in a sandbox; they write only in the working directory.",
    "Commands: run in a sandbox; they write nothing and have no network.",
    "Commands: are not sandboxed.",
)


def real_prefix(cwd: str, today: date, effort: Effort, *, has_tools: bool) -> list[int]:
    """Return the system and developer messages as the agent sends them."""
    described = tools.descriptions() if has_tools else []
    text = developer_message.compose(Path(cwd), has_tools=has_tools)
    return _rendered(effort, today, text, described)


def full_prefix(today: date, effort: Effort) -> list[int]:
    """Return messages as long as the agent's become: a sandbox, skills, a way to ask the user, tools of MCP servers."""
    random = Random(1)
    cwd = Path("/home/dev/workspace")
    text = developer_message.compose(cwd, has_tools=True, asks_by_tool=True)
    text += f"\n{_SANDBOX[0]}{_skills(random)}{_project_notes(random)}"
    return _rendered(effort, today, text, [*tools.descriptions(), _ASK_USER, *_foreign_tools(random, 4)])


def prefix(random: Random) -> list[int]:
    """Return random system and developer messages, mostly with the real wording."""
    effort: Effort = random.choices(("low", "medium", "high"), (40, 40, 20))[0]
    today = date(2024, 1, 1) + timedelta(random.randrange(1500))
    kind = random.choices(("tools", "no tools", "varied", "system", "none"), (57, 15, 22, 2, 4))[0]
    if kind == "none":
        return []
    if kind == "system":
        return render.system(effort, today, [])
    has_tools = kind == "tools" or (kind == "varied" and random.random() < 0.8)
    described = tools.descriptions() if has_tools else []
    text = _instructions(has_tools=has_tools)
    if has_tools and random.random() < 0.3:
        text = text.replace(developer_message.ASK_IN_ANSWER, developer_message.ASK_BY_TOOL)
        described = [*described, _ASK_USER]
    if kind == "varied":
        text = _reworded(random, text)
        described = _some_tools(random, described)
    if has_tools and random.random() < 0.2:
        described = [*described, *_foreign_tools(random, random.randint(1, 4))]
    text += _surroundings(random, has_tools=has_tools)
    return _rendered(effort, today, text, described)


def _instructions(*, has_tools: bool) -> str:
    """Return the agent's own instructions without what they say of the surroundings."""
    cwd = Path("/")
    return developer_message.compose(cwd, has_tools=has_tools).removesuffix(developer_message.environment(cwd))


def _surroundings(random: Random, *, has_tools: bool) -> str:
    """Return what the agent says of the folder that it works in, and what stands there for it to read."""
    cwd = random.choice(("/home/", "/Users/", "/srv/", "/tmp/", "/"))
    cwd += "/".join(words.word(random) for _ in range(random.randint(1, 4)))
    text = (
        f"Working directory: {cwd}\n"
        f"Operating system: {random.choice(('Linux', 'Darwin', 'Darwin', 'Windows'))}\n"
        f"Shell: {random.choice(('bash', 'zsh', 'zsh', 'sh', 'fish'))}"
    )
    if random.random() < 0.7:
        text += f"\nGit branch: {random.choice(('main', 'main', 'master', words.name(random)))}"
    if has_tools and random.random() < 0.4:
        text += f"\n{random.choice(_SANDBOX)}"
    if has_tools and random.random() < 0.2:
        text += _skills(random)
    if random.random() < 0.25:
        text += _project_notes(random)
    return text


def _rendered(effort: Effort, today: date, text: str, described: list[ToolDescription]) -> list[int]:
    return render.system(effort, today, described) + render.developer(text, described)


def _reworded(random: Random, text: str) -> str:
    lines = [line for line in text.splitlines() if random.random() < 0.8]
    return "\n".join(requests.sentence(random) if random.random() < 0.1 else line for line in lines) + "\n"


def _some_tools(random: Random, described: list[ToolDescription]) -> list[ToolDescription]:
    """Return most of the tools, in their order, some in other words."""
    return [
        replace(tool, description=_other_words(random, tool.description), parameters=_worded(random, tool.parameters))
        for tool in described
        if random.random() < 0.85
    ]


def _worded(random: Random, value: Any) -> Any:
    if isinstance(value, list):
        return [_worded(random, item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _other_words(random, item) if name == "description" and isinstance(item, str) else _worded(random, item)
        for name, item in value.items()
    }


def _other_words(random: Random, text: str) -> str:
    return text if random.random() < 0.6 else words.text(random, 3, 9)


def _foreign_tools(random: Random, count: int) -> list[ToolDescription]:
    return [_foreign_tool(random) for _ in range(count)]


def _foreign_tool(random: Random) -> ToolDescription:
    """Return a tool as an MCP server describes its own."""
    named = [words.word(random) for _ in range(random.randint(1, 4))]
    types = ({"type": "string"}, {"type": "string"}, {"type": "integer"}, {"type": "boolean"})
    properties = {
        name: {**random.choice(types), **({"description": words.text(random, 2, 6)} if random.random() < 0.6 else {})}
        for name in named
        if name.isascii()
    }
    schema = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    syllables = ("".join(random.choice("bcdfgklmnprst") + random.choice("aeiou") for _ in range(3)) for _ in range(2))
    return ToolDescription("__".join(syllables), words.text(random, 3, 12), schema)


def _skills(random: Random) -> str:
    lines = [
        f"- {words.word(random)}: {words.text(random, 4, 12)} ({words.folder(random).rstrip('/')}/SKILL.md)"
        for _ in range(random.randint(1, 6))
    ]
    return "\n\nSkills, each a file to open before you do what it is for:\n\n" + "\n".join(lines)


def _project_notes(random: Random) -> str:
    lines = [_note(random) for _ in range(random.randint(1, 10))]
    folder = "".join(f"/{words.word(random)}" for _ in range(random.randint(0, 3)))
    return f"\n\nInstructions from {folder}/AGENTS.md:\n\n" + "\n".join(lines)


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
