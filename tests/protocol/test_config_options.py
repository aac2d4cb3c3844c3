"""What the user can set for a session, in ACP's forms."""

from __future__ import annotations

import pytest
from acp import schema

from gptoss_acp.protocol import config_options
from gptoss_acp.settings import MODES


def test_every_option_has_its_current_value_among_its_choices_in_acps_form() -> None:
    options = config_options.config_options("auto-edit", "someone/b", ["tiny", "someone/b"], "high", 8192)
    for option in options:
        read = schema.SessionConfigOptionSelect.model_validate(option)
        assert read.current_value in [choice["value"] for choice in option["options"]]
    assert {option["id"]: option["currentValue"] for option in options} == {
        "mode": "auto-edit",
        "model": "someone/b",
        "effort": "high",
        "context": "8192",
    }


def test_a_repository_is_shown_by_its_short_name() -> None:
    (_, model, _, _) = config_options.config_options("ask", "tiny", ["tiny", "someone/b"], "low", None)
    assert [(choice["value"], choice["name"]) for choice in model["options"]] == [("tiny", "tiny"), ("someone/b", "b")]


def test_the_whole_context_is_a_choice_of_its_own() -> None:
    (*_, context) = config_options.config_options("ask", "tiny", ["tiny"], "low", None)
    assert context["currentValue"] == "all"
    assert [choice["name"] for choice in context["options"]][:2] == ["Full", "8k"]


@pytest.mark.parametrize(("context", "tokens"), [("all", None), ("8192", 8192), ("65536", 65536), ("1", None)])
def test_a_context_is_a_number_of_tokens(context: str, tokens: int | None) -> None:
    assert config_options.as_length(context) == tokens


def test_the_modes_are_told_in_the_older_form_too() -> None:
    state = schema.SessionModeState.model_validate(config_options.modes("ask"))
    assert state.current_mode_id == "ask"
    assert [mode.id for mode in state.available_modes] == list(MODES)
