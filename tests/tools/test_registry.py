"""Which tools there are: what the model is told of them, and by which names it may call them."""

from __future__ import annotations

import json
from pathlib import Path

from gptoss_acp import tool_description, tools
from gptoss_acp.harmony import render
from tests.support.desk import Desk
from tests.support.places import REPOSITORY


def test_the_descriptions_are_those_that_the_bundled_model_was_trained_on() -> None:
    trained = json.loads((REPOSITORY / "tests" / "support" / "trained_tools.json").read_text("utf-8"))
    expected = [tool_description.ToolDescription(**tool) for tool in trained]
    assert tools.descriptions() == expected
    assert render.developer("x", tools.descriptions()) == render.developer("x", expected)


async def test_container_exec_is_the_shell(tmp_path: Path) -> None:
    call = Desk(tmp_path).runner.announce("container.exec")
    assert await call.run('{"command": ["echo", "hi"]}') == "Exit code: 0\nOutput:\nhi\n"
