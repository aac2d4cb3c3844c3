"""Nothing on the event loop takes long: while one session is served, every other one streams on."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.project import write
from tests.support.spawner import Spawner
from tests.support.tokens import final, tool_call

LONGEST_STEP = 0.05
"""Seconds of processor time; what a step waits for others who hold the interpreter is not its own doing.

Where the machine is slow, a step may take as long as counting to two millions.
"""

WATCHED = f"""
import sys, time
from asyncio import events
run = events.Handle._run

def count_to_a_million():
    began, number = time.thread_time(), 0
    while number < 1_000_000:
        number += 1
    return time.thread_time() - began

longest = max({LONGEST_STEP}, 2 * count_to_a_million())

def watched(handle):
    began = time.thread_time()
    run(handle)
    if (took := time.thread_time() - began) > longest:
        print(f"slow: {{took:.3f}} s", handle, file=sys.stderr, flush=True)

events.Handle._run = watched
from gptoss_acp.cli.main import main
main()
"""


PATCH = "*** Begin Patch\n*** Update File: long.py\n@@\n-last\n+the last\n*** End Patch"


def test_no_step_of_the_event_loop_takes_long(spawn: Spawner, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / ".git").mkdir()
    (project / ".gitignore").write_text("".join(f"build-{number}/**/*.o\n" for number in range(3_000)))
    (project / "AGENTS.md").write_text("Always say what you have done, and why.\n" * 800)
    for number in range(300):
        description = f"---\ndescription: {'é' * 1000}\n---\n" + "Do it.\n" * 5_000
        write(project / f".agents/skills/s{number}/SKILL.md", description)
    (project / "long.py").write_text("def foo(a, b):\n    return a + b  # a comment\n" * 200_000 + "last\n")
    agent = spawn.scripted(
        tool_call("functions.list_dir", '{"path": ".", "depth": 3}'),
        tool_call("functions.read_file", '{"path": "long.py"}'),
        tool_call("functions.search", '{"query": "foo"}'),
        tool_call("functions.shell", '{"command": ["sh", "-c", "head -c 100000 /dev/zero | tr \'\\\\0\' \'-\'"]}'),
        tool_call("functions.apply_patch", PATCH),
        final("Done."),
        arguments=("--mode", "full-access"),
        command=(sys.executable, "-c", WATCHED),
        ends_well=False,
    )
    agent.initialize()
    opened = agent.ask("session/new", {"cwd": str(project), "mcpServers": []})
    session = agent.result(opened)["sessionId"]
    said = "Look at this: " + "a word and another one\n" * 10_000 + "=" * 100_000
    mention = {"type": "resource_link", "name": "long.py", "uri": (project / "long.py").as_uri()}
    blocks = [{"type": "text", "text": said}, mention]
    asked = agent.ask("session/prompt", {"sessionId": session, "prompt": blocks})
    assert agent.result(asked)["stopReason"] == "end_turn"
    assert (project / "long.py").read_text().endswith("the last\n")
    assert agent.end() == 0
    assert "slow" not in agent.stderr, agent.stderr
