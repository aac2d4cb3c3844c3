"""A tool as the model is told of it: its name can stand where the model has to write it."""

from __future__ import annotations

import pytest

from gptoss_acp.tool_description import ToolDescription


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "to=user", "a:b", "é", "x" * 101])
def test_a_tool_whose_name_cannot_stand_in_a_header_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a tool can't be called"):
        ToolDescription(name, "", {})


@pytest.mark.parametrize("name", ["a", "read_file", "repo_browser.open-file", "x" * 100])
def test_any_other_name_is_taken(name: str) -> None:
    assert ToolDescription(name, "", {}).name == name
