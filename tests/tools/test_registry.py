"""Which tools there are, and what the model is told of them."""

from __future__ import annotations

import json
from datetime import date

from gptoss_acp import tool_description, tools
from gptoss_acp.harmony import render
from tests.support.places import REPOSITORY

TODAY = date(2026, 1, 2)


def test_the_descriptions_are_those_that_the_bundled_model_is_measured_with() -> None:
    measured = json.loads((REPOSITORY / "tests" / "support" / "measured_tools.json").read_text("utf-8"))
    expected = [tool_description.ToolDescription(**tool) for tool in measured]
    assert tools.descriptions() == expected


def test_what_the_model_is_told_of_its_tools_is_short() -> None:
    tools_told = render.system("medium", TODAY, tools.descriptions()) + render.developer("", tools.descriptions())
    rest = render.system("medium", TODAY, []) + render.developer("", [])
    assert len(tools_told) - len(rest) <= 450


def test_a_hidden_argument_is_not_told() -> None:
    (search,) = [tool for tool in tools.descriptions() if tool.name == "search"]
    assert list(search.parameters["properties"]) == ["path", "query", "max_results"]
    assert search.parameters["required"] == ["path", "query"]
