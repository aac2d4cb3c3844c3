"""A tool as the model is told of it: its name can stand where the model has to write it."""

from __future__ import annotations

import pytest

from gptoss_acp import tool_description


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "to=user", "a:b", "é", "x" * 101])
def test_a_tool_whose_name_cannot_stand_in_a_header_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a tool can't be called"):
        tool_description.ToolDescription(name, "", {})
